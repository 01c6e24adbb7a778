// One embeddings request over several workers: split by their batch sizes, put together in the order of its inputs.
import { expect, test } from "bun:test";
import { embeddings, json, type Respond, silent, status, type TestBackend } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

interface Answer {
  object: string;
  model: string;
  data: { object: string; index: number; embedding: unknown }[];
  usage: { prompt_tokens: number; total_tokens: number };
}

interface Request {
  model: string;
  input: unknown;
  [field: string]: unknown;
}

/** Vectors by which each input is known again, after a pass of the gate. */
function marked(gate?: Gate): Respond {
  return async (request, recorded) => {
    await gate?.wait(request.signal);
    const { model, input } = recorded.json() as { model: string; input: string[] };
    const data = input.map((text, index) => ({ object: "embedding", index, embedding: [Number(text.slice(1))] }));
    return json({
      object: "list",
      model,
      data,
      usage: { prompt_tokens: input.length, total_tokens: 2 * input.length },
    });
  };
}

const inputs = (n: number): string[] => Array.from({ length: n }, (_, i) => `t${i}`);
const batches = ({ requests }: TestBackend): number[] =>
  requests.map(request => (request.json() as { input: unknown[] }).input.length);
const all = (backends: TestBackend[]): number[] => backends.flatMap(batches);
const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0);

async function ask(world: World, body: object): Promise<Answer> {
  const response = await world.post("/embeddings", { model: "test-model", ...body });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toStartWith("application/json");
  const answer: Answer = JSON.parse(await response.text());
  return answer;
}

function expectInOrder(answer: Answer, n: number): void {
  expect(answer.object).toBe("list");
  expect(answer.model).toBe("test-model");
  expect(answer.data.map(({ index }) => index)).toEqual(Array.from({ length: n }, (_, i) => i));
  expect(answer.data.map(({ embedding }) => embedding)).toEqual(Array.from({ length: n }, (_, i) => [i]));
}

async function workers(world: World, ...batchSizes: number[]): Promise<TestBackend[]> {
  const started: TestBackend[] = [];
  for (const batchSize of batchSizes) {
    const { backend } = await world.worker({ ...(batchSize > 0 && { batchSize }), clientId: `w${started.length}` });
    backend.respond = marked();
    started.push(backend);
  }
  return started;
}

test("500 inputs over three workers with batch sizes", async () => {
  await using world = new World();
  const backends = await workers(world, 10, 20, 50);
  const gate = new Gate();
  for (const backend of backends) backend.respond = marked(gate);
  const answer = ask(world, { input: inputs(500), encoding_format: "float", user: "me" });
  await Promise.all(backends.map(backend => backend.arrived(1)));
  gate.open();
  expectInOrder(await answer, 500);
  expect((await answer).usage).toEqual({ prompt_tokens: 500, total_tokens: 1000 });
  for (const [i, size] of [10, 20, 50].entries()) {
    const sizes = batches(backends[i]!);
    expect(Math.max(...sizes)).toBe(size);
    expect(sizes.filter(one => one !== size).length).toBeLessThanOrEqual(1);
  }
  expect(sum(all(backends))).toBe(500);
  const { input, ...rest } = backends[0]!.requests[0]!.json() as Request;
  expect(Array.isArray(input)).toBeTrue();
  expect(rest).toEqual({ model: "test-model", encoding_format: "float", user: "me" });
  const metrics = await (await fetch(`${world.origin}/metrics`)).text();
  expect(metrics).toContain('nfrx_llm_model_embeddings_total{model="test-model"} 500');
  // Each worker is credited with what it did itself.
  for (const [i, { totals, id }] of [...world.pool.registry.workers].entries()) {
    const did = sum(batches(backends[i]!));
    expect([totals.embeddings, totals.tokensIn, totals.failed]).toEqual([did, did, 0]);
    expect(metrics).toContain(`nfrx_llm_worker_embeddings_total{worker_id="${id}"} ${did}`);
  }
  expect(await world.leftovers()).toEqual({});
});

test("without batch sizes everybody gets an even share", async () => {
  await using world = new World();
  const backends = await workers(world, 0, 0, 0);
  expectInOrder(await ask(world, { input: inputs(100) }), 100);
  expect(all(backends).sort()).toEqual([32, 34, 34].sort());
  expect(await world.leftovers()).toEqual({});
});

test("at most so many workers as the option says, and never more than inputs", async () => {
  await using world = new World({ pool: { maxParallel: 2 } });
  const backends = await workers(world, 0, 0, 0, 0);
  expectInOrder(await ask(world, { input: inputs(10) }), 10);
  expect(backends.filter(({ requests }) => requests.length > 0)).toHaveLength(2);
  expectInOrder(await ask(world, { input: inputs(2) }), 2);
  expect(all(backends).slice().sort()).toEqual([1, 1, 5, 5]);
  expect(await world.leftovers()).toEqual({});
});

test("the answer's items may come in any order and without an index", async () => {
  await using world = new World();
  const [one, two] = await workers(world, 0, 0);
  one!.respond = async (request, recorded) => {
    const answer = (await (await marked()(request, recorded)).json()) as Answer;
    return json({ ...answer, data: answer.data.reverse() });
  };
  two!.respond = async (request, recorded) => {
    const answer = (await (await marked()(request, recorded)).json()) as Answer;
    return json({ ...answer, data: answer.data.map(({ embedding }) => ({ object: "embedding", embedding })) });
  };
  const answer = await ask(world, { input: inputs(10) });
  const sorted = answer.data.toSorted((a, b) => a.index - b.index);
  expectInOrder({ ...answer, data: sorted }, 10);
  // Clients such as the Go one read the list in the order in which it stands.
  expect(answer.data.map(({ index }) => index)).toEqual(sorted.map(({ index }) => index));
  expect(await world.leftovers()).toEqual({});
});

test("base64 strings and extra fields of the backend stay as they are", async () => {
  await using world = new World();
  for (const backend of await workers(world, 0, 0)) {
    backend.respond = (_request, recorded) => {
      const { input } = recorded.json() as { input: string[] };
      const data = input.map((text, index) => ({ object: "embedding", index, embedding: btoa(text), extra: { a: 1 } }));
      return json({ object: "list", model: "own-name", data, usage: { prompt_tokens: 1, total_tokens: 1 } });
    };
  }
  const answer = await ask(world, { input: inputs(9), encoding_format: "base64" });
  expect(answer.data).toEqual(
    inputs(9).map((text, index) => ({ object: "embedding", index, embedding: btoa(text), extra: { a: 1 } })),
  );
  expect(answer.model).toBe("own-name");
  expect(await world.leftovers()).toEqual({});
});

test("a text, one list of tokens and a single input go through whole, byte for byte", async () => {
  await using world = new World();
  const backends = await workers(world, 1, 1);
  for (const backend of backends) backend.respond = embeddings();
  for (const input of ["just one text", [1, 2, 3, 4], ["a list of one"]]) {
    const body = JSON.stringify({ input, model: "test-model" }, null, 3);
    const response = await world.post("/embeddings", body);
    expect(response.status).toBe(200);
    await response.text();
    const last = backends.flatMap(({ requests }) => requests).toSorted((a, b) => a.arrivedAt - b.arrivedAt);
    expect(last.at(-1)?.body).toBe(body);
  }
  expect(backends.flatMap(({ requests }) => requests)).toHaveLength(3);
  expect(await world.leftovers()).toEqual({});
});

test("lists of token lists are split like texts", async () => {
  await using world = new World();
  const backends = await workers(world, 2, 2);
  for (const backend of backends) backend.respond = embeddings();
  const answer = await ask(world, { input: [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]] });
  expect(answer.data.map(({ embedding }) => (embedding as number[])[1])).toEqual([1, 2, 3, 4]);
  expect(all(backends).sort()).toEqual([2, 2]);
});

test("what is no list of texts is the backend's to judge", async () => {
  await using world = new World();
  const [backend] = await workers(world, 0);
  backend!.respond = status(400, { error: { message: "what is this?" } });
  for (const input of [[], 7, null, {}]) {
    const response = await world.post("/embeddings", { model: "test-model", input });
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: { message: "what is this?" } });
  }
  expect((await world.post("/embeddings", { model: "test-model" })).status).toBe(400);
  expect(await world.leftovers()).toEqual({});
});

test("pinned to one worker nothing is split", async () => {
  await using world = new World();
  const backends = await workers(world, 2, 2);
  const response = await world.post("/../id/w1/v1/embeddings", { model: "test-model", input: inputs(9) });
  expect(response.status).toBe(200);
  expect(backends.map(batches)).toEqual([[], [9]]);
});

test("a part that fails is done by another worker", async () => {
  await using world = new World();
  const backends = await workers(world, 5, 5, 5);
  backends[0]!.respond = status(500, { error: { message: "out of memory" } });
  backends[1]!.respond = () => json({ object: "list", data: [] });
  expectInOrder(await ask(world, { input: inputs(60) }), 60);
  expect(backends.map(({ requests }) => requests.length)).toEqual([1, 1, 12]);
  expect(await world.leftovers()).toEqual({});
});

test("a part whose worker is lost, or whose backend is down, is done by another one", async () => {
  await using world = new World();
  const lost = await HandWorker.connect(world.connectUrl, { v2: true });
  lost.register({ worker_id: "lost" });
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const [down, up] = await workers(world, 5, 5);
  await down!.stop();
  const answer = ask(world, { input: inputs(30) });
  const { id } = await lost.frame("head");
  lost.put(batch => batch.putHead(id, { status: 200, headers: [["content-type", "application/json"]] }, false));
  lost.terminate();
  expectInOrder(await answer, 30);
  expect(sum(batches(up!))).toBe(30);
  expect(await world.leftovers()).toEqual({});
});

test("a part that its backend took and does not answer in time is not given to the next one", async () => {
  await using world = new World({ broker: { requestTimeoutMs: 200 } });
  const [slow, fast] = await workers(world, 5, 5);
  slow!.respond = silent();
  const answer = await world.post("/embeddings", { model: "test-model", input: inputs(30) });
  expect(answer.status).toBe(504);
  expect(slow!.requests).toHaveLength(1);
  expect(sum(batches(fast!))).toBe(25);
  await slow!.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

test("when every worker fails the client gets the last one's error, as it was", async () => {
  await using world = new World();
  const body = { error: { message: "overloaded", type: "own", param: null, code: null } };
  for (const backend of await workers(world, 0, 0)) backend.respond = status(503, body, { "retry-after": "9" });
  const response = await world.post("/embeddings", { model: "test-model", input: inputs(10) });
  expect(response.status).toBe(503);
  expect(response.headers.get("retry-after")).toBe("9");
  expect(await response.json()).toEqual(body);
  expect(await world.leftovers()).toEqual({});
});

test("nonsense from every worker is a 502", async () => {
  await using world = new World();
  const [backend] = await workers(world, 2);
  for (const nonsense of ["", "null", "<html>", '{"data":[{"index":0,"embedding":[1]}]}', '{"data":"x"}']) {
    backend!.respond = status(200, nonsense, { "content-type": "application/json" });
    const response = await world.post("/embeddings", { model: "test-model", input: inputs(3) });
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({ error: { code: "upstream_error" } });
  }
  expect(await world.leftovers()).toEqual({});
});

test("items whose indices are no order of the inputs are numbered by their position", async () => {
  await using world = new World();
  const [backend] = await workers(world, 3);
  for (const indices of [
    [0, 0, 1],
    [1, 2, 3],
    ["0", "1", "2"],
    [null, null, null],
    [-1, 0, 1],
  ]) {
    backend!.respond = (_, recorded) => {
      const { input } = recorded.json() as { input: string[] };
      return json({ data: input.map((text, at) => ({ index: indices[at], embedding: [Number(text.slice(1))] })) });
    };
    const answer = await ask(world, { input: inputs(6) });
    expect(answer.data.map(({ index, embedding }) => [index, embedding])).toEqual(inputs(6).map((_, at) => [at, [at]]));
  }
});

/** A request's body as the backend got it. */
const textOf = (recorded: TestBackend["requests"][number] | undefined): string => String(recorded?.body);

test("one worker, one part: request and answer pass byte for byte", async () => {
  await using world = new World();
  const [backend] = await workers(world, 0);
  const sent = `{ "model":"test-model", "seed":1970670598291982290, "input":["t0","t1"] }`;
  for (const answer of [
    '{"id":"emb-1","data":[{"index":7,"embedding":[1.50]}],"usage":{"prompt_tokens":2,"details":{"a":1970670598291982290}}}',
    '{"error":{"message":"not today"}}',
    "<html>",
  ]) {
    backend!.respond = status(200, answer, { "content-type": "application/json", "x-embedder": "own" });
    const headers = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" };
    const response = await fetch(`${world.url}/embeddings`, { method: "POST", headers, body: sent });
    expect([response.status, await response.text()]).toEqual([200, answer]);
    expect(response.headers.get("x-embedder")).toBe("own");
    expect(textOf(backend!.requests.at(-1))).toBe(sent);
  }
  expect(await world.leftovers()).toEqual({});
});

test("what is split and put together again keeps every digit, and says no usage that nobody has said", async () => {
  await using world = new World();
  const [backend] = await workers(world, 1);
  for (const usage of ["", ',"usage":null', ',"usage":{"total_tokens":0}']) {
    backend!.respond = status(
      200,
      `{"data":[{"embedding":[1970670598291982290,1.50],"id":1970670598291982291}],"model":"m"${usage}}`,
      { "content-type": "application/json" },
    );
    const headers = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" };
    const body = '{"model":"test-model","seed":1970670598291982290,"input":["t0", "t1"]}';
    const response = await fetch(`${world.url}/embeddings`, { method: "POST", headers, body });
    const item = '"embedding":[1970670598291982290,1.50],"id":1970670598291982291';
    expect(await response.text()).toBe(
      `{"object":"list","data":[{"index":0,${item}},{"index":1,${item}}],"model":"m"}`,
    );
    expect(backend!.requests.slice(-2).map(textOf).sort()).toEqual(
      ["t0", "t1"].map(text => `{"model":"test-model","seed":1970670598291982290,"input":["${text}"]}`),
    );
  }
  expect(await world.leftovers()).toEqual({});
});

test("a refusal of the request itself goes to the client as it is, and nobody else is asked", async () => {
  await using world = new World();
  const backends = await workers(world, 5, 5);
  for (const code of [400, 404, 413, 422]) {
    const before = backends.flatMap(({ requests }) => requests).length;
    for (const backend of backends)
      backend.respond = status(code, { error: { message: `input 3 is too long` } }, { "x-own": "yes" });
    const response = await world.post("/embeddings", { model: "test-model", input: inputs(60) });
    expect(response.status).toBe(code);
    expect(response.headers.get("x-own")).toBe("yes");
    expect(await response.json()).toEqual({ error: { message: "input 3 is too long" } });
    expect(backends.flatMap(({ requests }) => requests).length - before).toBeLessThanOrEqual(2);
    expect(await world.leftovers()).toEqual({});
  }
});

test("when one part is refused the others stop, and no seat stays taken", async () => {
  await using world = new World();
  const [first, second] = await workers(world, 5, 5);
  const gate = new Gate();
  first!.respond = async (request, recorded) => {
    await gate.wait(request.signal);
    return status(422, { error: { message: "no" } })(request, recorded);
  };
  second!.respond = silent();
  const response = world.post("/embeddings", { model: "test-model", input: inputs(60) });
  await Promise.all([first!.arrived(1), second!.arrived(1)]);
  gate.open();
  expect((await response).status).toBe(422);
  await second!.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

test("the client goes away in the middle: every backend hears of it", async () => {
  await using world = new World();
  const backends = await workers(world, 5, 5, 5);
  for (const backend of backends) backend.respond = silent();
  const client = new Call(`${world.url}/embeddings`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({ model: "test-model", input: inputs(60) }),
  });
  await Promise.all(backends.map(backend => backend.arrived(1)));
  client.abort();
  await Promise.all(backends.map(backend => backend.aborted(1)));
  expect(await world.leftovers()).toEqual({});
  for (const backend of backends) backend.respond = marked();
  expectInOrder(await ask(world, { input: inputs(30) }), 30);
  expect(await world.leftovers()).toEqual({});
});

test("the client goes away while the request waits for its first worker", async () => {
  await using world = new World();
  const [backend] = await workers(world, 0);
  backend!.respond = silent();
  const blockers = [1, 2].map(() => world.chat().catch(() => undefined));
  await backend!.arrived(2);
  const client = new Call(`${world.url}/embeddings`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({ model: "test-model", input: inputs(60) }),
  });
  await world.when(() => world.pool.waiting === 1, "the request waits");
  client.abort();
  await world.when(() => world.pool.waiting === 0, "nobody waits");
  await world.agents[0]?.shutdown(0);
  await world.worker();
  await Promise.all(blockers);
  expect(await world.leftovers()).toEqual({});
});

test("a busy worker is not waited for, a full pool is", async () => {
  await using world = new World();
  const [busy, free] = await workers(world, 0, 0);
  const gate = new Gate();
  busy!.respond = marked(gate);
  free!.respond = marked(gate);
  const blockers = Array.from({ length: 4 }, () => world.post("/embeddings", { model: "test-model", input: ["t0"] }));
  await Promise.all([busy!.arrived(2), free!.arrived(2)]);
  const answer = ask(world, { input: inputs(20) });
  await world.when(() => world.pool.waiting === 1, "the request waits");
  gate.open();
  expectInOrder(await answer, 20);
  await Promise.all(blockers);
  expect(await world.leftovers()).toEqual({});
});

test("a compressed answer of a backend is no trouble: parts are asked for plain", async () => {
  await using world = new World();
  const backends = await workers(world, 0, 0);
  await world.post(
    "/embeddings",
    { model: "test-model", input: inputs(4) },
    { headers: { "accept-encoding": "gzip" } },
  );
  for (const { requests } of backends) expect(requests[0]?.headers.get("accept-encoding")).toBe("identity");
});
