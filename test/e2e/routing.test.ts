// Which worker gets a request.
import { expect, test } from "bun:test";
import { SEEN_MS } from "../../src/broker/pool/limits.ts";
import { HOLDER_MS } from "../../src/protocol/limits.ts";
import { chatJson, chatStream, serveDefault, silent, type TestBackend } from "../kit/backend/backend.ts";
import { otherApis } from "../kit/backend/other-apis.ts";
import { pinged, rawUpgrade, textFrame } from "../kit/http/raw-socket.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY, World } from "../kit/world.ts";

const counts = (backends: TestBackend[]): number[] => backends.map(({ requests }) => requests.length);

test("another quantization serves where nobody has the model, by its own name", async () => {
  await using world = new World();
  const { backend: q4 } = await world.worker({ models: ["llama3:8b-q4_0"] });
  const { backend: q8 } = await world.worker({ models: ["llama3:8b-q8_0"] });
  for (let i = 0; i < 3; i++) {
    const answer = await world.chat({ model: "llama3:8b-q8_0" });
    expect([answer.status, answer.headers.get("x-nfrx-model")]).toEqual([200, null]);
  }
  expect(counts([q4, q8])).toEqual([0, 3]);
  // Of a request for a third one only the name changes.
  const body = (name: string): string =>
    `{ "odd":1.50e3,"model" : "${name}",  "ü":"\\u00fc", "messages":[{"model":"x"}]}`;
  for (const model of ["llama3:8b-fp16", "llama3:8b"]) {
    const answer = await world.post("/chat/completions", body(model));
    const served = answer.headers.get("x-nfrx-model");
    const asked = served === "llama3:8b-q4_0" ? q4 : q8;
    expect(answer.status).toBe(200);
    expect(asked.requests.at(-1)?.body?.toString()).toBe(body(served ?? ""));
  }
  expect(counts([q4, q8])).toEqual([1, 4]);
  const lines = world.logs.filter(({ message }) => message === "request ended").map(({ fields }) => fields);
  expect(lines.at(-1)).toMatchObject({
    model: "llama3:8b",
    served_model: expect.stringMatching(/^llama3:8b-q[48]_0$/),
  });
  const metrics = await (await fetch(`${world.origin}/metrics`)).text();
  expect(metrics).toContain('nfrx_model_requests_total{model="llama3:8b"');
  for (const model of ["llama3:70b-q4_0", "llama3", "llama3:8", "llama3:", "llama3:8b-instruct"])
    expect([model, (await world.chat({ model })).status]).toEqual([model, 404]);
  expect(await world.leftovers()).toEqual({});
});

test("a busy worker with the model is waited for, and a variant of it is another model", async () => {
  await using world = new World();
  const gate = new Gate();
  const { backend } = await world.worker({ models: ["llama3:8b", "qwen3:30b-thinking"], maxConcurrency: 1 });
  const { backend: sibling } = await world.worker({ models: ["llama3:8b-q4_0"] });
  backend.respond = chatStream(["x"], { gate });
  const running = world.chat({ model: "llama3:8b", stream: true });
  await backend.arrived(1);
  const waiting = world.chat({ model: "llama3:8b" });
  await world.when(() => world.pool.waiting === 1, "the second waits");
  expect((await world.chat({ model: "qwen3:30b-instruct" })).status).toBe(404);
  gate.open();
  await (await running).text();
  expect((await waiting).status).toBe(200);
  expect(counts([backend, sibling])).toEqual([2, 0]);
  // Vectors of two models cannot be compared.
  await world.worker({ models: ["nomic:v1-f16"] });
  for (const input of ["one", ["one", "two"]])
    expect((await world.post("/embeddings", { model: "nomic:v1", input })).status).toBe(404);
  expect(await world.leftovers()).toEqual({});
});

test("a body that passes through gets the worker's own name too", async () => {
  await using world = new World();
  const { backend } = await world.worker({ models: ["llama3:8b-q4_0"] });
  const body = (name: string): string => `{"a":"é","model":"${name}","content":"${"x".repeat(12 * 1024 * 1024)}"}`;
  const answer = await world.post("/chat/completions", body("llama3:8b"));
  expect([answer.status, answer.headers.get("x-nfrx-model")]).toEqual([200, "llama3:8b-q4_0"]);
  expect(backend.requests[0]?.sha256).toBe(new Bun.CryptoHasher("sha256").update(body("llama3:8b-q4_0")).digest("hex"));
  expect(backend.requests[0]?.headers.get("content-length")).toBe(String(Buffer.byteLength(body("llama3:8b-q4_0"))));
  expect(await world.leftovers()).toEqual({});
});

test("a model without a tag is Ollama's latest", async () => {
  await using world = new World();
  const { backend } = await world.worker({ models: ["llama3.2:latest"] });
  backend.respond = (request, recorded) =>
    (recorded.path.startsWith("/v1") ? serveDefault : otherApis(["a"]))(request, recorded);
  const ask = (path: string, body?: object): Promise<Response> =>
    fetch(`${world.origin}/api/llm${path}`, {
      headers: { authorization: `Bearer ${API_KEY}` },
      ...(body && { method: "POST", body: JSON.stringify(body) }),
    });
  const model = "llama3.2";
  const paths = [
    "/v1/chat/completions",
    "/v1/embeddings",
    "/ollama/api/chat",
    "/ollama/api/generate",
    "/ollama/api/embed",
    "/ollama/api/show",
  ];
  for (const path of paths)
    expect([path, (await ask(path, { model, input: ["a", "b"], stream: false })).status]).toEqual([path, 200]);
  expect(backend.requests.map(request => request.json())).toEqual(
    paths.map(() => ({ model, input: ["a", "b"], stream: false })),
  );
  expect(await (await ask("/v1/models/llama3.2")).json()).toMatchObject({ id: "llama3.2", object: "model" });
  for (const name of ["llama3.2:3b", "llama3"]) expect((await ask(`/v1/models/${name}`)).status).toBe(404);
  const metrics = await (await fetch(`${world.origin}/metrics`)).text();
  expect(metrics).toContain('nfrx_model_requests_total{model="llama3.2:latest"');
  expect(await world.leftovers()).toEqual({});
});

test("with a least score of 1 only the exact model will do", async () => {
  await using world = new World({ pool: { minScore: 1 } });
  await world.worker({ models: ["llama3:8b-q4_0"] });
  expect((await world.chat({ model: "llama3:8b-q8_0" })).status).toBe(404);
  expect((await world.chat({ model: "llama3:8b-q4_0" })).status).toBe(200);
});

test("nobody serves the model: 404 at once", async () => {
  await using world = new World();
  const none = await world.chat();
  expect(none.status).toBe(404);
  expect(await none.json()).toMatchObject({
    error: {
      message: expect.stringMatching(/^no worker/),
      code: "no_worker",
      type: "invalid_request_error",
      param: "model",
    },
  });
  await world.worker();
  const other = await world.chat({ model: "unheard-of", stream: true });
  expect(other.status).toBe(404);
  expect(other.headers.get("content-type")).toStartWith("application/json");
  expect(await world.leftovers()).toEqual({});
});

test("the least busy worker is next, and ties take turns", async () => {
  await using world = new World();
  const gate = new Gate();
  const workers = [];
  for (const maxConcurrency of [1, 2, 4]) workers.push(await world.worker({ maxConcurrency }));
  const backends = workers.map(({ backend }) => backend);
  for (const backend of backends) backend.respond = chatStream(["x"], { gate });
  const running = Array.from({ length: 7 }, () => world.chat({ stream: true }).then(response => response.text()));
  await Promise.all([backends[0]!.arrived(1), backends[1]!.arrived(2), backends[2]!.arrived(4)]);
  gate.open();
  await Promise.all(running);
  expect(backends.map(({ peakInflight }) => peakInflight)).toEqual([1, 2, 4]);
  for (const backend of backends) backend.respond = chatJson("x");
  const before = counts(backends);
  for (let i = 0; i < 6; i++) await world.chat();
  expect(counts(backends).map((count, i) => count - before[i]!)).toEqual([2, 2, 2]);
  expect(await world.leftovers()).toEqual({});
});

test("a worker never gets more than it takes at once", async () => {
  await using world = new World();
  const { backend } = await world.worker({ maxConcurrency: 3 });
  const answers = await Promise.all(Array.from({ length: 60 }, () => world.chat()));
  expect(answers.map(({ status }) => status)).toEqual(Array(60).fill(200));
  expect(backend.peakInflight).toBeLessThanOrEqual(3);
  expect(backend.requests).toHaveLength(60);
  expect(await world.leftovers()).toEqual({});
});

test("a worker that was here a moment ago is waited for", async () => {
  await using world = new World();
  const first = await HandWorker.connect(world.connectUrl);
  first.register();
  await world.when(() => world.pool.registry.size === 1, "a worker");
  first.terminate();
  await world.when(() => world.pool.registry.size === 0, "the worker has gone");
  const waiting = world.chat();
  await world.when(() => world.pool.waiting === 1, "a request waits");
  // Another one that serves the model is as good as the one that left.
  await world.worker();
  expect((await waiting).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a worker that stays away for the grace is no worker", async () => {
  const clock = new TestClock();
  await using world = new World({ clock, pool: { graceMs: 10_000 } });
  const first = await HandWorker.connect(world.connectUrl);
  first.register({ models: ["gone", "llama3:8b-q4"] });
  await world.when(() => world.pool.registry.size === 1, "a worker");
  first.terminate();
  await world.when(() => world.pool.registry.size === 0, "the worker has gone");
  // What nobody ever served is known at once, even now.
  expect((await world.chat({ model: "never" })).status).toBe(404);
  const waiting = [world.chat({ model: "gone" }), world.chat({ model: "llama3:8b-q8" })];
  await world.when(() => world.pool.waiting === 2, "two requests wait");
  clock.advance(9_999);
  expect(world.pool.waiting).toBe(2);
  clock.advance(1);
  // It was here within the last hour: a client may ask again.
  for (const answer of [...(await Promise.all(waiting)), await world.chat({ model: "gone" })]) {
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "5"]);
    expect(await answer.json()).toMatchObject({ error: { code: "no_worker", type: "server_error" } });
  }
  clock.advance(SEEN_MS);
  expect((await world.chat({ model: "gone" })).status).toBe(404);
  expect(await world.leftovers()).toEqual({});
});

for (const v2 of [true, false])
  test(`an agent keeps its id while it answers, and a second one is refused (${v2 ? "v2" : "v1"})`, async () => {
    const clock = new TestClock();
    await using world = new World({ clock });
    const first = await HandWorker.connect(world.connectUrl, { v2 });
    first.register({ worker_id: "same", worker_name: "first" });
    await world.when(() => world.pool.registry.size === 1, "the first");
    const second = await HandWorker.connect(world.connectUrl, { v2 });
    second.register({ worker_id: "same", worker_name: "second" });
    expect(await second.end()).toEqual({ code: 1008, reason: "id in use" });
    expect(world.pool.registry.get("same")?.name).toBe("first");
    expect(world.logs.filter(({ message }) => message === "agent rejected")).toMatchObject([
      { fields: { reason: "id in use", worker_id: "same", held_by: "127.0.0.1" } },
    ]);
    expect(first.closed).toBeUndefined();
    first.close();
  });

test("an agent whose old connection does not answer takes its place after two seconds; the old one's end does not evict it", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const headers = { authorization: `Bearer ${CLIENT_KEY}`, "sec-websocket-protocol": "nfrx.v2" };
  const old = await rawUpgrade(world.broker.port, "/api/llm/connect", headers);
  await old.write(textFrame({ type: "register", worker_id: "same", models: ["test-model"], max_concurrency: 1 }));
  await world.when(() => world.pool.registry.size === 1, "the old one");
  const before = old.bytesIn;
  const waiting = world.chat();
  await old.when(() => old.bytesIn > before, "the request");
  const coming = world.worker({ clientId: "same", clientName: "newer" });
  await pinged(old);
  clock.advance(HOLDER_MS);
  const { backend } = await coming;
  // What the old one had begun goes to the new one: nothing of an answer was there.
  expect((await waiting).status).toBe(200);
  await old.when(() => old.closed, "the old one's end");
  expect(world.logs.filter(({ message }) => message.includes("does not respond"))).toMatchObject([
    { level: "warn", fields: { worker_id: "same", by: "127.0.0.1" } },
  ]);
  expect(world.pool.registry.get("same")?.name).toBe("newer");
  expect(world.pool.registry.size).toBe(1);
  expect((await world.chat()).status).toBe(200);
  expect(backend.requests).toHaveLength(2);
  expect(await world.leftovers()).toEqual({});
});

test("a worker without capacity is waited for, and served as soon as it has some", async () => {
  await using world = new World();
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register({ max_concurrency: 0 });
  await world.when(() => world.pool.registry.size === 1, "a worker");
  const waiting = world.chat();
  await world.when(() => world.pool.waiting === 1, "a request waits");
  worker.send({ type: "status_update", max_concurrency: 1, status: "idle" });
  const { id } = await worker.frame("head");
  worker.answer(id, 200, '{"by":"hand"}');
  expect(await (await waiting).json()).toEqual({ by: "hand" });
  expect(await world.leftovers()).toEqual({});
  worker.close();
});

test("a model that a worker gives up is gone, one that it adds is served", async () => {
  await using world = new World({ pool: { graceMs: 0 } });
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register({ models: ["old"] });
  await world.when(() => world.pool.registry.size === 1, "a worker");
  worker.send({ type: "status_update", max_concurrency: 1, models: ["new"] });
  await worker.handled();
  expect((await world.chat({ model: "old" })).status).toBe(404);
  const answer = world.chat({ model: "new" });
  worker.answer((await worker.frame("head")).id, 200, "{}");
  expect((await answer).status).toBe(200);
  worker.close();
});

test("a request for a busy model does not take another model's worker", async () => {
  await using world = new World();
  const { backend: a } = await world.worker({ models: ["a"], maxConcurrency: 1 });
  const { backend: b } = await world.worker({ models: ["b"], maxConcurrency: 1 });
  a.respond = silent();
  const abort = new AbortController();
  const holding = world.chat({ model: "a" }, { signal: abort.signal }).catch(() => undefined);
  await a.arrived(1);
  const waiting = world.chat({ model: "a" }, { signal: abort.signal }).catch(() => undefined);
  await world.when(() => world.pool.waiting === 1, "one waits");
  expect((await world.chat({ model: "b" })).status).toBe(200);
  expect(counts([a, b])).toEqual([1, 1]);
  abort.abort();
  await Promise.all([holding, waiting]);
  expect(await world.leftovers()).toEqual({});
});
