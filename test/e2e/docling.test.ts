// Documents: any worker will do, but a task stays with the worker that began it.
import { expect, test } from "bun:test";
import { workerAgent } from "../../src/agent/worker-agent.ts";
import { defaultsOf } from "../../src/config/group.ts";
import { doclingAgentOptions, doclingBackend } from "../../src/modules/docling.ts";
import { bytes, json, type Respond, silent, startBackend, status, type TestBackend } from "../kit/backend/backend.ts";
import { Call, type CallAnswer, call } from "../kit/http/call.ts";
import { form, MIB, recording } from "../kit/http/form.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { OldBroker } from "../kit/protocol/old-broker.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY, World, type WorldOptions } from "../kit/world.ts";

const KEY = { Authorization: `Bearer ${API_KEY}` };
const JSON_TYPE = { ...KEY, "Content-Type": "application/json" };
const SOURCE = '{"sources":[{"kind":"http","url":"https://example.org/a.pdf"}],"options":{"to_formats":["md"]}}';
const sha256 = (body: Uint8Array): string => new Bun.CryptoHasher("sha256").update(body).digest("hex");

const docling = (options: Omit<WorldOptions, "module"> = {}): World => new World({ module: "docling", ...options });

const post = (
  world: World,
  path: string,
  body: string | Uint8Array = SOURCE,
  headers = JSON_TYPE,
): Promise<CallAnswer> => call(world.url + path, { body, headers });

const get = (world: World, path: string): Promise<CallAnswer> => call(world.url + path, { headers: KEY });

const bodyOf = (answer: CallAnswer): unknown => JSON.parse(answer.body.toString());
const found = (answer: CallAnswer): unknown[] => [answer.status, bodyOf(answer)];

/** A Docling server that knows the tasks it has begun, named after itself. */
class Docling {
  readonly tasks = new Set<string>();
  readonly respond: Respond = (request, { path }) => {
    if (request.method === "POST" && (path.endsWith("/async") || path.endsWith("/batch"))) return this.#begin();
    if (request.method === "POST") return json({ by: this.name, path });
    const task = path.slice(path.lastIndexOf("/") + 1);
    if (!this.tasks.has(task)) return json({ detail: `Task not found, says ${this.name}.` }, 404);
    return json({ by: this.name, task, search: new URL(request.url).search });
  };

  constructor(
    readonly name: string,
    readonly backend: TestBackend,
  ) {
    backend.respond = this.respond;
  }

  /** The paths of the GETs it has had. */
  get asked(): string[] {
    return this.backend.requests.filter(({ method }) => method === "GET").map(({ path }) => path);
  }

  #begin(): Response {
    const task = `${this.name}-${this.tasks.size + 1}`;
    this.tasks.add(task);
    return json({ task_id: task, task_status: "pending", task_position: 1 });
  }
}

/** As many workers as names, each before a Docling server of its own. */
async function servers(world: World, ...names: string[]): Promise<Docling[]> {
  const all: Docling[] = [];
  for (const name of names) {
    const { backend } = await world.worker({ clientId: `id-of-${name}`, clientName: name });
    all.push(new Docling(name, backend));
  }
  return all;
}

/** Begins a task; its id. */
async function begin(world: World, path = "/convert/source/async"): Promise<string> {
  const answer = await post(world, path);
  expect(answer.status).toBe(200);
  return JSON.parse(answer.body.toString()).task_id;
}

// ---- requests and answers -------------------------------------------------------------------------------------------

test("every route reaches the backend at the same path, with its bytes and its content type", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  const document = form([
    { name: "files", content: recording(50_000).content, filename: "größe.pdf", type: "application/pdf" },
  ]);
  const paths = ["/convert/source", "/convert/file", "/chunk/hybrid/source", "/chunk/hierarchical/file"].flatMap(
    path => [path, `${path}/async`],
  );
  for (const path of [...paths, "/convert/source/batch"]) {
    for (const [body, type] of [
      [Buffer.from(SOURCE), "application/json"],
      [document.body, document.type],
      [recording(3_000).content, "application/octet-stream"],
      [Buffer.alloc(0), "text/x-odd; charset=x"],
    ] as const) {
      const answer = await post(world, path, Buffer.from(body), { ...KEY, "Content-Type": type });
      expect([path, answer.status]).toEqual([path, 200]);
      const request = server?.backend.requests.at(-1);
      expect([request?.method, request?.path]).toEqual(["POST", `/v1${path}`]);
      expect(request?.headers.get("content-type")).toBe(type);
      expect(request?.sha256).toBe(sha256(Buffer.from(body)));
    }
  }
  expect(await world.leftovers()).toEqual({});
});

test("a request without a content type goes on without one", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  expect((await call(`${world.url}/convert/file`, { headers: KEY, body: "%PDF" })).status).toBe(200);
  expect(server?.backend.requests[0]?.body).toBe("%PDF");
  expect(server?.backend.requests[0]?.headers.get("content-type")).toBeNull();
  expect(await world.leftovers()).toEqual({});
});

test("a compressed body reaches the backend compressed, and says so", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  for (const text of [SOURCE, "x".repeat(9 * MIB) + crypto.getRandomValues(Buffer.alloc(9 * MIB)).toString("latin1")]) {
    const zipped = Bun.gzipSync(Buffer.from(text));
    const headers = { ...JSON_TYPE, "Content-Encoding": "gzip" };
    expect((await post(world, "/convert/source", zipped, headers)).status).toBe(200);
    const request = server?.backend.requests.at(-1);
    expect(request?.headers.get("content-encoding")).toBe("gzip");
    expect(request?.sha256).toBe(sha256(zipped));
  }
  expect(await world.leftovers()).toEqual({});
});

test("any answer of the backend is the client's", async () => {
  await using world = docling();
  const { backend } = await world.worker();
  for (const [code, body, type] of [
    [200, '{"document":{"md_content":"# ü"}}', "application/json"],
    [404, '{"detail":"no such thing"}', "application/json"],
    [422, '{"detail":[]}', "application/json"],
    [500, "oops", "text/plain"],
  ] as const) {
    backend.respond = status(code, body, { "content-type": type, "x-own": "1" });
    for (const path of ["/convert/source", "/convert/source/async"]) {
      const answer = await post(world, path);
      expect([answer.status, answer.body.toString(), answer.complete]).toEqual([code, body, true]);
      expect(answer.headers).toContainEqual(["content-type", type]);
      expect(answer.headers).toContainEqual(["x-own", "1"]);
    }
  }
  const zip = recording(2 * MIB).content;
  backend.respond = bytes([zip.slice(0, 10), zip.slice(10)], { "content-type": "application/zip" });
  expect(sha256((await post(world, "/convert/file")).body)).toBe(sha256(Buffer.from(zip)));
  expect(await world.leftovers()).toEqual({});
});

test("a large document passes through, with its length or in chunks", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  const { type, body } = form([recording(10 * MIB)]);
  expect((await post(world, "/convert/file", body, { ...KEY, "Content-Type": type })).status).toBe(200);
  const client = new Call(`${world.url}/convert/file/async`, {
    headers: { ...KEY, "Content-Type": type },
    body: "chunked",
  });
  for (let at = 0; at < body.length; at += MIB) await client.send(body.subarray(at, at + MIB));
  await client.finish();
  expect((await client.answer()).status).toBe(200);
  expect(server?.backend.requests.map(request => request.sha256)).toEqual([sha256(body), sha256(body)]);
  expect(server?.backend.requests.map(({ headers }) => headers.get("content-length"))).toEqual([
    String(body.length),
    null,
  ]);
  expect(await world.leftovers()).toEqual({});
});

test("the least busy worker serves, and who finds none free waits", async () => {
  await using world = docling();
  const gates = [new Gate(), new Gate()];
  const backends: TestBackend[] = [];
  for (const gate of gates) {
    const { backend } = await world.worker({ maxConcurrency: 1 });
    backend.respond = bytes(["{}"], { "content-type": "application/json" }, 200, gate);
    backends.push(backend);
  }
  const running = [post(world, "/convert/source"), post(world, "/convert/file")];
  await Promise.all(backends.map(backend => backend.arrived(1)));
  const waiting = post(world, "/convert/source");
  await world.when(() => world.pool.waiting === 1, "one waits");
  for (const gate of gates) gate.open();
  for (const answer of await Promise.all([...running, waiting])) expect(answer.status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("errors have a word and a message", async () => {
  await using world = docling({ pool: { queueSize: 0 } });
  expect(found(await post(world, "/convert/source"))).toEqual([503, { error: "overloaded", message: "no worker" }]);
  const stranger = await call(`${world.url}/convert/source`, { body: SOURCE });
  expect(found(stranger)).toEqual([401, { error: "unauthorized", message: expect.any(String) }]);
  const { backend } = await world.worker({ maxConcurrency: 1 });
  backend.respond = silent();
  const running = new Call(`${world.url}/convert/source`, { headers: JSON_TYPE, body: SOURCE });
  await backend.arrived(1);
  expect(found(await post(world, "/convert/source"))).toEqual([
    503,
    { error: "worker_busy", message: "every worker is busy and the queue is full" },
  ]);
  running.abort();
  await backend.aborted(1);
  await backend.stop();
  const down = await post(world, "/convert/source");
  expect(found(down)).toMatchObject([502, { error: "upstream_error" }]);
  expect(await world.leftovers()).toEqual({});
});

test("there are no models here", async () => {
  await using world = docling();
  expect((await get(world, "/models")).status).toBe(404);
});

// ---- tasks ----------------------------------------------------------------------------------------------------------

test("a task goes on at the worker that began it, however many there are; the query goes along", async () => {
  await using world = docling();
  const all = await servers(world, "a", "b", "c");
  for (const path of [
    "/convert/source/async",
    "/convert/file/async",
    "/chunk/hybrid/source/async",
    "/convert/source/batch",
  ]) {
    for (let i = 0; i < 3; i++) {
      const task = await begin(world, path);
      const by = task.split("-")[0];
      for (const search of ["", "?wait=5", "?a=1&a=2&b=%20%26+x"])
        expect(found(await get(world, `/status/poll/${task}${search}`))).toEqual([200, { by, task, search }]);
      expect(found(await get(world, `/result/${task}`))).toEqual([200, { by, task, search: "" }]);
    }
  }
  // All three have begun some, and nobody was asked about another's.
  for (const { name, asked, tasks } of all) {
    expect(tasks.size).toBeGreaterThan(0);
    expect(asked.every(path => path.includes(`/${name}-`))).toBeTrue();
  }
  expect(await world.leftovers()).toEqual({});
});

test("an answer in small pieces, or a large one, names its task as well", async () => {
  await using world = docling();
  const all = await servers(world, "a", "b");
  for (const [at, server] of all.entries()) {
    server.tasks.add(`piece-${at}`);
    server.tasks.add(`large-${at}`);
    const piecemeal = [...`{"x":{"task_id":"wrong"},"task_id" : "piece-${at}"}`];
    const large = [`{"filler":"${"x".repeat(200_000)}",`, `"task_id":"large-${at}"}`];
    server.backend.respond = (request, recorded) => {
      if (request.method === "GET") return server.respond(request, recorded);
      return bytes(recorded.path.includes("/file/") ? large : piecemeal, { "content-type": "application/json" })(
        request,
        recorded,
      );
    };
  }
  for (let i = 0; i < 2; i++) {
    for (const path of ["/convert/source/async", "/convert/file/async"]) {
      const task = await begin(world, path);
      expect((await get(world, `/status/poll/${task}`)).status).toBe(200);
    }
  }
  expect(all.flatMap(({ asked }) => asked)).toHaveLength(4);
  expect(await world.leftovers()).toEqual({});
});

test("a task that was begun elsewhere after a refusal belongs to the worker that began it", async () => {
  await using world = docling();
  const refusing = await HandWorker.connect(world.connectUrl, { v2: true });
  refusing.register({ worker_id: "refusing", models: [] });
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const begun = begin(world);
  const { id } = await refusing.frame("head");
  const [b] = await servers(world, "b");
  refusing.put(batch => batch.putReset(id, "refused", "no"));
  expect(await begun).toBe("b-1");
  expect(found(await get(world, "/result/b-1"))).toMatchObject([200, { by: "b" }]);
  expect(b?.asked).toHaveLength(1);
  expect(refusing.frames.filter(({ kind }) => kind === "head")).toHaveLength(1);
  refusing.close();
  expect(await world.leftovers()).toEqual({});
});

test("an answer that is compressed hides its task: its worker is found by asking", async () => {
  await using world = docling();
  const all = await servers(world, "a", "b");
  for (const server of all) {
    server.backend.respond = (request, recorded) => {
      if (request.method === "GET") return server.respond(request, recorded);
      server.tasks.add(`${server.name}-zipped`);
      const body = Bun.gzipSync(Buffer.from(JSON.stringify({ task_id: `${server.name}-zipped` })));
      return new Response(body, { headers: { "content-type": "application/json", "content-encoding": "gzip" } });
    };
  }
  for (let i = 0; i < 2; i++) {
    const answer = await post(world, "/convert/source/async");
    const { task_id } = JSON.parse(Buffer.from(Bun.gunzipSync(new Uint8Array(answer.body))).toString());
    expect(found(await get(world, `/result/${task_id}`))).toMatchObject([200, { task: task_id }]);
  }
  expect(await world.leftovers()).toEqual({});
});

test("a conversion waits for a worker that has just gone", async () => {
  await using world = docling();
  const { agent, backend } = await world.worker({ clientId: "a" });
  backend.respond = status(200, {});
  await agent.shutdown(0);
  await world.when(() => world.pool.registry.size === 0, "it is gone");
  const asked = post(world, "/convert/source");
  await world.when(() => world.pool.waiting === 1, "one waits");
  await world.agent(backend, { clientId: "a" });
  expect((await asked).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a question with a body: the body is of no use, and does no harm", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  server?.tasks.add("t");
  for (const body of ["", "{}", "x".repeat(100_000)]) {
    const answer = await call(`${world.url}/result/t`, { method: "GET", headers: JSON_TYPE, body });
    expect([body.length, answer.status]).toEqual([body.length, 200]);
  }
  expect(await world.leftovers()).toEqual({});
});

test("only an answer that went well, of a request that begins one, names a task", async () => {
  await using world = docling();
  const [a, b] = await servers(world, "a", "b");
  a!.backend.respond = (request, recorded) => {
    if (request.method === "GET") return a!.respond(request, recorded);
    return json({ task_id: "of-b" }, recorded.path.endsWith("/async") ? 500 : 200);
  };
  b!.tasks.add("of-b");
  // Were it known as the task's worker, nobody else would be asked.
  for (const path of ["/convert/source/async", "/convert/source"])
    await call(`${world.origin}/api/docling/id/id-of-a/v1${path}`, { headers: JSON_TYPE, body: SOURCE });
  expect(a!.backend.requests).toHaveLength(2);
  expect(found(await get(world, "/result/of-b"))).toMatchObject([200, { by: "b" }]);
  expect(await world.leftovers()).toEqual({});
});

test("a broker that has just started finds a task's worker by asking, and asks once", async () => {
  await using world = docling();
  const all = await servers(world, "a", "b", "c");
  for (const { name, tasks } of all) tasks.add(`${name}-old`);
  for (const { name } of all) {
    for (const path of ["/status/poll", "/result", "/status/poll"]) {
      const answer = await get(world, `${path}/${name}-old?wait=1`);
      expect(found(answer)).toEqual([200, { by: name, task: `${name}-old`, search: "?wait=1" }]);
    }
  }
  // Each worker was asked about each foreign task once at most; those that were found are known.
  for (const { name, asked } of all) {
    const foreign = asked.filter(path => !path.includes(`/${name}-`));
    expect(new Set(foreign).size).toBe(foreign.length);
  }
  expect(await world.leftovers()).toEqual({});
});

test("agents that come to a new broker bring their tasks along", async () => {
  await using first = docling();
  const [backendOfA, backendOfB] = [await first.backend(), await first.backend()];
  const [a, b] = [new Docling("a", backendOfA), new Docling("b", backendOfB)];
  for (const { backend, name } of [a, b]) await first.agent(backend, { clientId: `id-of-${name}` });
  const tasks = [await begin(first), await begin(first)];
  expect(tasks.sort()).toEqual(["a-1", "b-1"]);
  await first.broker.stop();
  await using second = docling();
  for (const { backend, name } of [a, b]) await second.agent(backend, { clientId: `id-of-${name}` });
  for (const task of tasks)
    expect(found(await get(second, `/result/${task}`))).toMatchObject([200, { by: task.split("-")[0] }]);
  expect(await second.leftovers()).toEqual({});
});

test("a task that nobody knows is a 404 in the backend's own words, after everybody was asked", async () => {
  await using world = docling();
  const all = await servers(world, "a", "b", "c");
  const answer = await get(world, "/status/poll/nobody-has-it");
  expect(answer.status).toBe(404);
  expect(answer.body.toString()).toMatch(/^\{"detail":"Task not found, says [abc]\."\}$/);
  expect(all.map(({ asked }) => asked.length)).toEqual([1, 1, 1]);
  expect(await world.leftovers()).toEqual({});
});

test("a task that its own worker no longer knows is a 404 at once: nobody else is asked", async () => {
  await using world = docling();
  const all = await servers(world, "a", "b");
  const task = await begin(world);
  const owner = all.find(({ name }) => task.startsWith(name));
  owner?.tasks.clear();
  expect(found(await get(world, `/result/${task}`))).toEqual([404, { detail: `Task not found, says ${owner?.name}.` }]);
  expect(all.reduce((sum, { asked }) => sum + asked.length, 0)).toBe(1);
  expect(await world.leftovers()).toEqual({});
});

test("other failures of a worker are answers about the task, not signs that it is elsewhere", async () => {
  await using world = docling();
  const all = await servers(world, "a", "b");
  for (const code of [400, 410, 500, 503]) {
    for (const { backend } of all) backend.respond = status(code, { detail: "own words" });
    const before = all.reduce((sum, { asked }) => sum + asked.length, 0);
    expect(found(await get(world, "/result/some-task"))).toEqual([code, { detail: "own words" }]);
    expect(all.reduce((sum, { asked }) => sum + asked.length, 0)).toBe(before + 1);
  }
  expect(await world.leftovers()).toEqual({});
});

test.each(["the same id", "another id"])(
  "a task whose worker is away is a 503 until that is back, with %s",
  async id => {
    await using world = docling();
    const all = await servers(world, "a", "b");
    const task = await begin(world);
    const at = all.findIndex(({ name }) => task.startsWith(name));
    const owner = all[at]!;
    await world.agents[at]?.shutdown(0);
    await world.when(() => world.pool.registry.size === 1, "it is gone");
    const away = await get(world, `/status/poll/${task}`);
    expect(found(away)).toEqual([
      503,
      { error: "overloaded", message: "the worker that has this task is not connected" },
    ]);
    expect(away.headers).toContainEqual(["retry-after", "5"]);
    // Somebody else may have its server behind it by now.
    expect(owner.asked).toEqual([]);
    expect(all.flatMap(({ asked }) => asked)).toHaveLength(1);
    await world.agent(owner.backend, { clientId: id === "the same id" ? `id-of-${owner.name}` : "new" });
    expect(found(await get(world, `/status/poll/${task}`))).toMatchObject([200, { by: owner.name }]);
    expect(await world.leftovers()).toEqual({});
  },
);

test("nobody is connected: 503 for questions about tasks, too", async () => {
  await using world = docling();
  expect(found(await get(world, "/result/t"))).toEqual([503, { error: "overloaded", message: "no worker" }]);
});

test("a question whose worker is lost before it answered is asked elsewhere, when its worker was only a guess", async () => {
  await using world = docling();
  const lost = await HandWorker.connect(world.connectUrl, { v2: true });
  lost.register({ worker_id: "lost", models: [] });
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const asked = get(world, "/result/b-old");
  await lost.frame("head");
  const [b] = await servers(world, "b");
  b!.tasks.add("b-old");
  lost.terminate();
  expect(found(await asked)).toMatchObject([200, { by: "b" }]);
  expect(await world.leftovers()).toEqual({});
});

test("pinned to one worker only that one is asked", async () => {
  await using world = docling();
  const [a, b] = await servers(world, "a", "b");
  b!.tasks.add("b-old");
  const pinned = (id: string): Promise<CallAnswer> =>
    call(`${world.origin}/api/docling/id/${id}/v1/result/b-old`, { headers: KEY });
  expect((await pinned("id-of-a")).status).toBe(404);
  expect(b!.asked).toHaveLength(0);
  expect(found(await pinned("id-of-b"))).toMatchObject([200, { by: "b" }]);
  expect(a!.asked).toHaveLength(1);
  expect((await pinned("nobody")).status).toBeGreaterThanOrEqual(400);
  expect(await world.leftovers()).toEqual({});
});

// ---- visits ---------------------------------------------------------------------------------------------------------

test("with all seats taken by long conversions, and more waiting, questions are answered", async () => {
  await using world = docling();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const server = new Docling("a", backend);
  const task = await begin(world);
  const gate = new Gate();
  backend.respond = async (request, recorded) => {
    if (request.method === "POST") await gate.wait();
    return server.respond(request, recorded);
  };
  const long = [post(world, "/convert/source"), post(world, "/convert/file")];
  await backend.arrived(2);
  await world.when(() => world.pool.waiting === 1, "one waits");
  for (let i = 0; i < 20; i++) expect((await get(world, `/status/poll/${task}`)).status).toBe(200);
  expect((await get(world, "/status/poll/unknown")).status).toBe(404);
  expect([world.pool.inflight, world.pool.waiting]).toEqual([1, 1]);
  gate.open();
  for (const answer of await Promise.all(long)) expect(answer.status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("64 questions at once are let in at one worker, the next is told to come back, and places are given back", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  const task = await begin(world);
  server!.backend.respond = silent();
  const ask = (): Call => new Call(`${world.url}/status/poll/${task}`, { headers: KEY });
  for (let round = 0; round < 2; round++) {
    const before = server!.backend.requests.length;
    const clients = Array.from({ length: 64 }, ask);
    await server!.backend.arrived(before + 64);
    const refused = await ask().answer();
    expect(found(refused)).toEqual([
      503,
      { error: "worker_busy", message: "too many requests are queued for this worker" },
    ]);
    expect(refused.headers).toContainEqual(["retry-after", "5"]);
    for (const client of clients) client.abort();
    expect(await world.leftovers()).toEqual({});
  }
  server!.backend.respond = server!.respond;
  expect((await get(world, `/status/poll/${task}`)).status).toBe(200);
  // Conversions have their seats all the while.
  expect((await post(world, "/convert/source")).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a large result streams: its beginning is here before its end is written", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  const task = await begin(world);
  const gate = new Gate();
  const piece = recording(MIB).content;
  server!.backend.respond = bytes(Array(12).fill(piece), { "content-type": "application/zip" }, 200, gate);
  const client = new Call(`${world.url}/result/${task}`, { headers: KEY });
  for (let n = 1; n <= 12; n++) {
    gate.release();
    await client.received(n * MIB);
  }
  gate.open();
  const answer = await client.answer();
  expect([answer.status, answer.complete, answer.body.length]).toEqual([200, true, 12 * MIB]);
  expect(sha256(answer.body)).toBe(sha256(Buffer.concat(Array<Uint8Array>(12).fill(Buffer.from(piece)))));
  expect(await world.leftovers()).toEqual({});
});

test("a client that goes from a question, before or in its answer: the backend hears of it", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  const task = await begin(world);
  let n = server!.backend.requests.length;
  for (const respond of [
    silent(),
    bytes(Array(500).fill(Buffer.alloc(64 * 1024)), { "content-type": "application/zip" }),
  ]) {
    server!.backend.respond = respond;
    const client = new Call(`${world.url}/result/${task}`, { headers: KEY });
    client.pause();
    await server!.backend.arrived(++n);
    client.abort();
    await server!.backend.aborted(n - 1);
    expect(await world.leftovers()).toEqual({});
  }
});

test("a silent backend is a 504 for questions, too", async () => {
  await using world = docling({ broker: { requestTimeoutMs: 200 } });
  const [server] = await servers(world, "a");
  const task = await begin(world);
  server!.backend.respond = silent();
  expect(found(await get(world, `/status/poll/${task}`))).toMatchObject([504, { error: "timeout" }]);
  await server!.backend.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

// ---- names in paths -------------------------------------------------------------------------------------------------

/** One request with exactly this path: a URL would be tidied up first. */
async function raw(world: World, method: string, path: string): Promise<RawClient> {
  const lines = [`${method} /api/docling/v1${path} HTTP/1.1`, "Host: broker", `Authorization: Bearer ${API_KEY}`];
  if (method === "POST") lines.push("Content-Type: application/json", "Content-Length: 2");
  const client = await RawClient.connect(world.broker.port);
  await client.write(`${lines.join("\r\n")}\r\n\r\n${method === "POST" ? "{}" : ""}`);
  await client.settled();
  client.destroy();
  return client;
}

for (const name of [
  "..",
  ".",
  "%2e%2e",
  "%2E",
  "...",
  "a%2Fb",
  "a/b",
  "%2F",
  "a%5Cb",
  "a%3Fb=1",
  "a%23b",
  "%00",
  "a%0d%0aX:1",
  "a%20b",
  "%252e%252e",
  "%252F",
  "ü",
  "%C3%BC",
  "%",
  "x".repeat(129),
  "",
]) {
  test(`${JSON.stringify(name.slice(0, 20))} is no name of a task or chunker: 404, and no backend is asked`, async () => {
    await using world = docling();
    const [server] = await servers(world, "a");
    for (const [method, path] of [
      ["GET", `/status/poll/${name}`],
      ["GET", `/result/${name}`],
      ["POST", `/chunk/${name}/source`],
      ["POST", `/chunk/${name}/file/async`],
    ] as const) {
      const answer = await raw(world, method, path);
      expect([method, path, answer.status]).toEqual([method, path, 404]);
    }
    expect(server?.backend.requests).toHaveLength(0);
    expect(await world.leftovers()).toEqual({});
  });
}

test("what a name may hold reaches the backend as it is", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  for (const name of [
    "a",
    "0d6f3b1e-7d0e-4d7b-9d53-0c1c1f0f9a52",
    "x".repeat(128),
    "a.b_c~d-e",
    "..a",
    "constructor",
    "__proto__",
  ]) {
    server?.tasks.add(name);
    expect(found(await get(world, `/result/${name}`))).toMatchObject([200, { task: name }]);
    expect(server?.backend.requests.at(-1)?.path).toBe(`/v1/result/${name}`);
    expect((await post(world, `/chunk/${name}/source`)).status).toBe(200);
    expect(server?.backend.requests.at(-1)?.path).toBe(`/v1/chunk/${name}/source`);
  }
  expect(await world.leftovers()).toEqual({});
});

test("no other route of the backend can be reached", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  for (const [method, path] of [
    ["GET", "/convert/source"],
    ["POST", "/result/t"],
    ["DELETE", "/result/t"],
    ["GET", "/clear/results"],
    ["GET", "/result/t/more"],
    ["POST", "/convert/source/other"],
    ["POST", "/convert/file/batch"],
  ] as const)
    expect([path, (await raw(world, method, path)).status]).toEqual([path, 404]);
  expect(server?.backend.requests).toHaveLength(0);
});

// ---- headers --------------------------------------------------------------------------------------------------------

const PRIVATE = {
  Cookie: "session=secret",
  "X-Api-Key": "secret",
  "X-User-Roles": "secret",
  "X-Forwarded-For": "203.0.113.1",
  "X-Forwarded-Proto": "secret",
  "X-Anything": "secret",
};

function expectPrivate(backend: TestBackend): void {
  const request = backend.requests.at(-1);
  expect(request?.headers.get("authorization")).toBe("Bearer of-the-backend");
  expect(request?.headers.get("x-api-key")).toBe("of-the-backend");
  for (const name of ["cookie", "x-user-roles", "x-forwarded-for", "x-forwarded-proto", "x-anything"])
    expect([name, request?.headers.get(name) ?? null]).toEqual([name, null]);
  expect(request?.rawHeaders.filter(text => text.includes("secret") || text.includes(API_KEY))).toEqual([]);
}

const keyed = (backend: { origin: string }): ReturnType<typeof doclingBackend> =>
  doclingBackend({ ...defaultsOf(doclingAgentOptions), docBaseUrl: backend.origin, docApiKey: "of-the-backend" });

test("what a caller says of itself stays here; the backend gets its own key, in both headers it may look at", async () => {
  await using world = docling();
  const backend = await world.backend();
  const server = new Docling("a", backend);
  server.tasks.add("t");
  await world.agent(backend, { backend: keyed(backend) });
  const own = { ...PRIVATE, ...JSON_TYPE, "Accept-Docling-Document-Version": "1.2" };
  expect((await post(world, "/convert/source", SOURCE, own)).status).toBe(200);
  expectPrivate(backend);
  expect(backend.requests.at(-1)?.headers.get("accept-docling-document-version")).toBe("1.2");
  const { type, body } = form([recording(9 * MIB)]);
  expect((await post(world, "/convert/file", body, { ...own, "Content-Type": type })).status).toBe(200);
  expectPrivate(backend);
  expect((await call(`${world.url}/result/t`, { headers: own })).status).toBe(200);
  expectPrivate(backend);
  // Looking after the backend takes the key as well.
  expect(backend.probes.at(-1)?.headers.get("x-api-key")).toBe("of-the-backend");
  expect(await world.leftovers()).toEqual({});
});

test("a caller's key in X-Api-Key opens the broker and goes no further", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  const ask = (key: string): Promise<CallAnswer> =>
    call(`${world.url}/convert/source`, { headers: { "X-Api-Key": key }, body: SOURCE });
  expect((await ask(API_KEY)).status).toBe(200);
  expect(server?.backend.requests[0]?.rawHeaders.join("\n")).not.toContain(API_KEY);
  expect((await ask("another")).status).toBe(401);
  expect(server?.backend.requests).toHaveLength(1);
  expect(await world.leftovers()).toEqual({});
});

test("an old broker sends every header of its callers along: they end at our agent", async () => {
  await using broker = new OldBroker();
  const backend = await startBackend();
  new Docling("a", backend);
  const nothing = (): void => {};
  const agent = workerAgent({
    module: "docling",
    backend: keyed(backend),
    servers: [{ serverUrl: broker.connectUrl.replace("/llm/", "/docling/"), clientKey: CLIENT_KEY }],
    clientId: undefined,
    clientName: "ours",
    maxConcurrency: 2,
    requestTimeoutMs: 300_000,
    reconnect: false,
    log: { debug: nothing, info: nothing, warn: nothing, error: nothing, fatal: nothing },
  });
  const run = agent.run().catch(() => {});
  await broker.message("register");
  broker.request("r1", "/v1/convert/source", SOURCE, { ...PRIVATE, Authorization: `Bearer ${API_KEY}` });
  const answer = await broker.answer("r1");
  expect([answer.head["status"], JSON.parse(answer.body)]).toEqual([200, { by: "a", path: "/v1/convert/source" }]);
  expectPrivate(backend);
  await agent.shutdown(0);
  await run;
  await backend.stop();
});

// ---- what is counted ------------------------------------------------------------------------------------------------

test("each kind of work is counted under its name", async () => {
  await using world = docling();
  const [server] = await servers(world, "a");
  await post(world, "/convert/source");
  server!.backend.respond = status(200, { usage: { prompt_tokens: 1, completion_tokens: 1 } });
  await post(world, "/chunk/hybrid/file");
  server!.backend.respond = server!.respond;
  const task = await begin(world, "/chunk/hybrid/source/async");
  await get(world, `/status/poll/${task}`);
  await get(world, `/result/${task}`);
  const text = (await call(`${world.origin}/metrics`)).body.toString();
  const counted = [
    ...text.matchAll(
      /^nfrx_request_total\{ext="docling",plugin_type="worker",job_type="(.+?)",label="(.*)"\} (\d+)$/gm,
    ),
  ];
  expect(counted.map(([, job, label, n]) => [job, label, n]).sort()).toEqual([
    ["docling.chunk", "docling", "2"],
    ["docling.convert", "docling", "1"],
    ["docling.result", "docling", "1"],
    ["docling.status", "docling", "1"],
  ]);
  // What a document says of usage is no token that was spent.
  expect(text).not.toMatch(/^nfrx_request_size_total\{ext="docling"/m);
  const { plugins } = JSON.parse((await call(`${world.origin}/api/state`, { headers: KEY })).body.toString());
  expect(plugins.docling.workers).toMatchObject([{ name: "a", host_info: { backend_family: "docling" }, inflight: 0 }]);
  expect(await world.leftovers()).toEqual({});
});
