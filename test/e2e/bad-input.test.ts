// Whatever comes in, from callers or from agents: a clear error or a closed link, and the same broker serves on.
import { expect, test } from "bun:test";
import { Kind } from "../../src/protocol/frames.ts";
import { Call, type CallAnswer, call } from "../kit/http/call.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY, World } from "../kit/world.ts";

const KEY = { Authorization: `Bearer ${API_KEY}` };
const JSON_TYPE = { ...KEY, "Content-Type": "application/json" };

const ask = (
  world: World,
  body: string | Uint8Array,
  headers: Record<string, string> = JSON_TYPE,
): Promise<CallAnswer> => call(`${world.url}/chat/completions`, { body, headers });

function errorOf(answer: CallAnswer): { message: string; code: string; type: string; param: string | null } {
  return JSON.parse(answer.body.toString()).error;
}

/** The broker and a worker of it are as well as ever. */
async function expectServing(world: World): Promise<void> {
  expect((await world.chat()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
}

const BODIES: Record<string, [string | Uint8Array, number, string | null]> = {
  "no JSON": ["{nonsense", 400, null],
  "cut JSON": ['{"model":"test-model","messages":[', 400, null],
  "an empty body": ["", 400, null],
  "a JSON array": ['[{"model":"test-model"}]', 400, null],
  "a JSON string": ['"test-model"', 400, null],
  null: ["null", 400, null],
  "no model": ['{"messages":[]}', 400, "model"],
  "an empty model": ['{"model":""}', 400, "model"],
  "a model that is a number": ['{"model":7}', 400, "model"],
  "a model that is null": ['{"model":null}', 400, "model"],
  "a model inside something else": ['{"messages":[{"model":"test-model"}]}', 400, "model"],
  "a model of 10,000 characters": [JSON.stringify({ model: "m".repeat(10_000) }), 400, "model"],
  "bytes that are no UTF-8": [new Uint8Array([0x7b, 0xff, 0xfe, 0x7d]), 400, null],
  "deep nesting": [`{"model":"nobody","x":${"[".repeat(5_000)}${"]".repeat(5_000)}}`, 404, "model"],
};

for (const [name, [body, status, param]] of Object.entries(BODIES)) {
  test(`body: ${name}`, async () => {
    await using world = new World();
    const { backend } = await world.worker();
    const answer = await ask(world, body);
    expect(answer.status).toBe(status);
    expect(errorOf(answer)).toMatchObject({ param, type: "invalid_request_error" });
    expect(errorOf(answer).message).not.toBe("");
    expect(backend.requests).toHaveLength(0);
    await expectServing(world);
  });
}

test("large bodies are judged as small ones are", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const filler = JSON.stringify("x".repeat(9 * 1024 * 1024));
  for (const [body, status] of [
    [`{"messages":${filler}}`, 400],
    [`{"messages":[{"model":"test-model"}],"more":${filler}}`, 400],
    [`{"more":${filler},"model":7}`, 400],
    [`{"more":${filler},"model":"${"m".repeat(5_000)}"}`, 400],
    [`{"more":${filler},"model":"nobody"}`, 404],
    [filler, 400],
    [`[${filler}]`, 400],
  ] as const)
    expect([body.slice(0, 12), (await ask(world, body)).status]).toEqual([body.slice(0, 12), status]);
  expect(backend.requests).toHaveLength(0);
  await expectServing(world);
});

test("content types and encodings", async () => {
  await using world = new World();
  await world.worker();
  const body = '{"model":"test-model"}';
  const typed = (type: string) => ask(world, body, { ...KEY, "Content-Type": type });
  for (const type of ["multipart/form-data; boundary=x", "image/png", "audio/wav"]) {
    const answer = await typed(type);
    expect([type, answer.status]).toEqual([type, 415]);
    expect(errorOf(answer).param).toBe("content-type");
  }
  // curl -d sends the form type; the 0.9 series never looked.
  for (const type of ["application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/plain"])
    expect([type, (await typed(type)).status]).toEqual([type, 200]);
  expect((await ask(world, body, KEY)).status).toBe(200);
  for (const encoding of ["compress", "gzip, zstd"]) {
    const unknown = await ask(world, body, { ...JSON_TYPE, "Content-Encoding": encoding });
    expect([unknown.status, errorOf(unknown).param]).toEqual([415, "content-encoding"]);
  }
  const broken = await ask(world, body, { ...JSON_TYPE, "Content-Encoding": "gzip" });
  expect([broken.status, errorOf(broken).param]).toEqual([400, "content-encoding"]);
  expect((await ask(world, body, { ...JSON_TYPE, "Content-Encoding": "identity" })).status).toBe(200);
  await expectServing(world);
});

test("a body over the limit is a 413 that names it, announced or not", async () => {
  await using world = new World({ broker: { maxBodyBytes: 10_000 } });
  const { backend } = await world.worker();
  const padded = (length: number): string => {
    const empty = JSON.stringify({ model: "test-model", x: "" });
    return JSON.stringify({ model: "test-model", x: "x".repeat(length - empty.length) });
  };
  expect((await ask(world, padded(10_000))).status).toBe(200);
  const announced = await ask(world, padded(10_001));
  expect(announced.status).toBe(413);
  expect(errorOf(announced).message).toContain("10000");
  // Refused by the announcement alone, before the body has come.
  const early = await call(`${world.url}/chat/completions`, {
    headers: JSON_TYPE,
    body: "{",
    announced: 5_000_000_000,
  });
  expect(early.status).toBe(413);
  const chunked = new Call(`${world.url}/chat/completions`, { headers: JSON_TYPE, body: "chunked" });
  await chunked.send(padded(10_001));
  const answer = await chunked.answer();
  expect(answer.status).toBe(413);
  expect(errorOf(answer).message).toContain("10000");
  expect(backend.requests).toHaveLength(1);
  await expectServing(world);
});

test("a chunked upload that goes past the limit on its way is a 413 too", async () => {
  await using world = new World({ broker: { maxBodyBytes: 16 * 1024 * 1024 } });
  const { backend } = await world.worker();
  const client = new Call(`${world.url}/chat/completions`, { headers: JSON_TYPE, body: "chunked" });
  await client.send('{"model":"test-model","messages":["');
  const piece = "x".repeat(1024 * 1024);
  for (let i = 0; i < 17; i++) await client.send(piece);
  expect((await client.answer()).status).toBe(413);
  await backend.idle();
  expect(backend.requests.every(({ aborted, ended }) => aborted || !ended)).toBeTrue();
  await expectServing(world);
});

test("more bodies than the memory set aside for them are a 503 that says when to come back", async () => {
  await using world = new World({ broker: { maxBufferedBytes: 1000 } });
  await world.worker();
  const answer = await ask(world, JSON.stringify({ model: "test-model", x: "x".repeat(1000) }));
  expect(answer.status).toBe(503);
  expect(new Map(answer.headers).get("retry-after")).toBeDefined();
  await expectServing(world);
});

test("10,000 headers, and one of 100 KB", async () => {
  await using world = new World();
  await world.worker();
  const many = Array.from({ length: 10_000 }, (_, i): [string, string] => [`X-${i}`, "1"]);
  for (const headers of [many, [["X-Long", "x".repeat(100_000)]] as [string, string][]]) {
    const answer = await call(`${world.url}/chat/completions`, {
      body: "{}",
      headers: [...Object.entries(JSON_TYPE), ...headers],
    }).catch(() => undefined);
    // Bun answers 431, or closes the connection at once.
    expect([undefined, 431]).toContain(answer?.status);
  }
  await expectServing(world);
});

test("unknown routes and methods", async () => {
  await using world = new World();
  await world.worker();
  for (const [path, method] of [
    ["/", "GET"],
    ["/api/llm/v1/completions", "POST"],
    ["/api/llm/v1/chat/completions", "GET"],
    ["/api/llm/v1/chat/completions", "DELETE"],
    ["/api/llm/v1/chat/completions/", "POST"],
    ["/api/nothing", "GET"],
    ["/%ff%fe", "GET"],
    ["//", "GET"],
  ] as const) {
    const answer = await call(world.origin + path, { method, headers: KEY });
    expect([path, method, answer.status >= 400 && answer.status < 500]).toEqual([path, method, true]);
    expect(errorOf(answer).message).not.toBe("");
  }
  await expectServing(world);
});

test("what is no HTTP", async () => {
  await using world = new World();
  await world.worker();
  for (const bytes of [
    "\r\n\r\n",
    "GET\r\n\r\n",
    "\u0000\u0001\u0002\r\n\r\n",
    "POST /api/llm/v1/chat/completions HTTP/9.9\r\n\r\n",
  ]) {
    const client = new Call(`${world.origin}/healthz`);
    await client.head();
    await client.raw(bytes);
    await client.raw(bytes);
    client.abort();
  }
  await expectServing(world);
});

const FIRST_FRAMES: Record<string, string | Uint8Array<ArrayBuffer>> = {
  "no JSON": "hello?",
  "an empty frame": "",
  "a JSON array": "[]",
  "another type": '{"type":"heartbeat","ts":1}',
  "a register frame with wrong types": '{"type":"register","models":"all of them"}',
  "a negative concurrency": '{"type":"register","max_concurrency":-1}',
  "a register frame of 10 MB": JSON.stringify({ type: "register", worker_name: "n".repeat(10_000_000) }),
  "a register frame of 70 KB": JSON.stringify({ type: "register", worker_name: "n".repeat(70_000) }),
  "binary garbage": crypto.getRandomValues(new Uint8Array(1000)),
  "a v2 frame": new Uint8Array([Kind.HEAD, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
};

for (const [name, frame] of Object.entries(FIRST_FRAMES)) {
  test(`first frame of an agent: ${name}`, async () => {
    await using world = new World();
    await world.worker();
    for (const v2 of [false, true]) {
      const worker = await HandWorker.connect(world.connectUrl, { v2 });
      worker.send(frame);
      expect(await worker.end()).toEqual({ code: 1008, reason: "expected register" });
    }
    expect(world.pool.registry.size).toBe(1);
    await expectServing(world);
  });
}

test("an agent whose frame is larger than the broker takes", async () => {
  await using world = new World();
  await world.worker();
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.send("x".repeat(20 * 1024 * 1024));
  await worker.end();
  await expectServing(world);
});

test("names out of bounds are cut, control characters fall out", async () => {
  await using world = new World();
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register({
    worker_id: "id\nwith\u0000controls",
    worker_name: "n".repeat(5_000),
    models: ["m".repeat(5_000), "", "a\nb", "a\nb", ...Array.from({ length: 3_000 }, (_, i) => `m${i}`)],
    agent_config: Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`k${i}`, "v"])),
  });
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const registered = world.pool.registry.get("idwithcontrols");
  expect(registered?.name).toHaveLength(256);
  expect(registered?.models.size).toBeLessThanOrEqual(1_000);
  expect([...(registered?.models ?? [])].every(model => model.length <= 256 && !/\p{Cc}/u.test(model))).toBeTrue();
  worker.close();
});

/** What a registered agent may send, in v2, and whether its link survives it. */
const V2_FRAMES: Record<string, (worker: HandWorker) => void> = {
  "text that is no JSON": worker => worker.send("hello?"),
  "text that is an array": worker => worker.send("[]"),
  "random bytes": worker => worker.send(new Uint8Array(1000).fill(0xff)),
  "half a frame header": worker => worker.send(new Uint8Array(5)),
  "a frame that is cut short": worker => worker.send(new Uint8Array([Kind.DATA, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 2])),
  "a frame that says it is huge": worker => worker.send(new Uint8Array([Kind.DATA, 0, 0, 0, 0, 1, 0xff, 0, 0, 0])),
  "an answer on a stream that never was": worker => worker.answer(99, 200, "{}"),
  "an answer on stream 0": worker => worker.answer(0, 200, "{}"),
  "data on a stream that never was": worker => worker.put(batch => batch.putData(99, Buffer.from("x"), true)),
  "a reset of a stream that never was": worker => worker.put(batch => batch.putReset(99, "x", "y")),
  "credit for a stream that never was": worker => worker.put(batch => batch.putWindow(99, 1000)),
  "a head that is no head": worker => worker.send(new Uint8Array([Kind.HEAD, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x7b, 0x7d])),
};

for (const [name, send] of Object.entries(V2_FRAMES)) {
  test(`an agent on v2 sends ${name}: its link is closed`, async () => {
    await using world = new World();
    await world.worker({ clientId: "good" });
    const worker = await HandWorker.connect(world.connectUrl, { v2: true });
    worker.register();
    await world.when(() => world.pool.registry.size === 2, "it is registered");
    send(worker);
    expect((await worker.end()).code).toBe(1002);
    await world.when(() => world.pool.registry.size === 1, "it is out");
    await expectServing(world);
  });
}

test("an agent on v2 asks the broker for something: it is refused, the link stays", async () => {
  await using world = new World();
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register();
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  worker.put(batch => batch.putHead(2, { method: "GET", path: "/", headers: [] }, true));
  expect(await worker.frame("reset")).toMatchObject({ id: 2, code: "refused" });
  const answer = world.chat();
  worker.answer((await worker.frame("head")).id, 200, "{}");
  expect((await answer).status).toBe(200);
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("frames that mean nothing yet, and malformed words about itself, are passed over", async () => {
  await using world = new World();
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register();
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  worker.send({ type: "models_update", models: ["x"] });
  worker.send({ type: "status_update", max_concurrency: "many" });
  worker.send({ type: "heartbeat", ts: "now" });
  worker.send({ no: "type" });
  worker.send(new Uint8Array([77, 0, 0, 0, 0, 9, 0, 0, 0, 1, 1]));
  await worker.handled();
  const answer = world.chat();
  worker.answer((await worker.frame("head")).id, 200, "{}");
  expect((await answer).status).toBe(200);
  worker.close();
});

for (const status of [0, 99, 101, 600, 70_000, 200.5]) {
  test(`status ${status} from a worker is a 502, on both wires`, async () => {
    await using world = new World();
    const v2 = await HandWorker.connect(world.connectUrl, { v2: true });
    v2.register({ worker_id: "v2", models: ["m2"] });
    const v1 = await HandWorker.connect(world.connectUrl);
    v1.register({ worker_id: "v1", models: ["m1"] });
    await world.when(() => world.pool.registry.size === 2, "both are registered");
    const first = ask(world, '{"model":"m2"}');
    v2.answer((await v2.frame("head")).id, status, "{}");
    expect((await first).status).toBe(502);
    const second = ask(world, '{"model":"m1"}');
    const { request_id } = await v1.message("http_proxy_request");
    v1.send({ type: "http_proxy_response_headers", request_id, status, headers: {} });
    expect((await second).status).toBe(502);
    expect(errorOf(await second)).toMatchObject({ code: "upstream_error" });
    // Neither link was harmed.
    const third = ask(world, '{"model":"m2"}');
    v2.answer((await v2.frame("head", 2)).id, 200, "{}");
    expect((await third).status).toBe(200);
    expect(await world.leftovers()).toEqual({});
    v1.close();
    v2.close();
  });
}

test("204 and 304 of a worker have no body, whatever it sends along", async () => {
  await using world = new World();
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register();
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  for (const [at, status] of [204, 304].entries()) {
    const answer = ask(world, '{"model":"test-model"}');
    worker.answer((await worker.frame("head", at + 1)).id, status, "a body");
    expect((await answer).status).toBe(status);
  }
  expect(await world.leftovers()).toEqual({});
  worker.close();
});

test("headers of a worker that HTTP does not allow are left out", async () => {
  await using world = new World();
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register();
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const answer = ask(world, '{"model":"test-model"}');
  worker.answer((await worker.frame("head")).id, 200, "{}", [
    ["content-type", "application/json"],
    ["x-split", "a\r\nset-cookie: evil=1"],
    ["x bad name", "1"],
    ["", "1"],
    ["x-emoji", "😀"],
    ["transfer-encoding", "gzip"],
    ["content-length", "1"],
    ["connection", "upgrade"],
    ["x-good", "yes"],
  ]);
  const names = (await answer).headers.map(([name]) => name);
  expect((await answer).body.toString()).toBe("{}");
  expect(names).toContain("x-good");
  for (const name of ["set-cookie", "x-split", "x-emoji", "connection"]) expect(names).not.toContain(name);
  expect(await world.leftovers()).toEqual({});
  worker.close();
});

test("an agent on v1: unknown requests are passed over, malformed frames close the link", async () => {
  await using world = new World();
  await world.worker({ clientId: "good" });
  const worker = await HandWorker.connect(world.connectUrl);
  worker.register({ models: ["hand-model"] });
  await world.when(() => world.pool.registry.size === 2, "it is registered");
  const request_id = "r99";
  worker.send({ type: "http_proxy_response_headers", request_id, status: 200, headers: {} });
  worker.send({ type: "http_proxy_response_chunk", request_id, data: "AAAA" });
  worker.send({ type: "http_proxy_response_end", request_id });
  worker.send({ type: "job_request", job_id: "x" });
  const answer = ask(world, '{"model":"hand-model"}');
  const { request_id: real } = await worker.message("http_proxy_request");
  worker.send({ type: "http_proxy_response_chunk", request_id: real, data: "AAAA" });
  expect((await answer).status).toBe(502);
  worker.send({ type: "http_proxy_response_headers", request_id: 7, status: "ok" });
  expect((await worker.end()).code).toBe(1002);
  await world.when(() => world.pool.registry.size === 1, "it is out");
  await expectServing(world);
});

test("binary garbage on v1 closes the link", async () => {
  await using world = new World();
  await world.worker({ clientId: "good" });
  const worker = await HandWorker.connect(world.connectUrl);
  worker.register();
  await world.when(() => world.pool.registry.size === 2, "it is registered");
  worker.send(new Uint8Array(100).fill(0xff));
  expect((await worker.end()).code).toBe(1002);
  await expectServing(world);
});
