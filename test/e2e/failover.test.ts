// A backend that dies, fails, is too busy or is down: what the client sees, and how many other backends pay for it.
import { expect, test } from "bun:test";
import { chatJson, json, startRawBackend, status, type TestBackend } from "../kit/backend/backend.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

const MODELS = { object: "list", data: [{ id: "test-model", object: "model" }] };

/** A backend that lists its model and dies of the first request. */
async function mortal(asked: string[], name: string, delay: Promise<void> = Promise.resolve()) {
  const backend = await startRawBackend(async exchange => {
    if (exchange.head.startsWith("GET /v1/models ")) {
      const body = JSON.stringify(MODELS);
      return exchange.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    }
    if (exchange.head.startsWith("GET ")) return exchange.write("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n");
    asked.push(name);
    await delay;
    void backend.stop();
  });
  return backend;
}

test("a request that kills its backend kills no other one", async () => {
  await using world = new World();
  const asked: string[] = [];
  for (const name of ["a", "b", "c", "d"]) await world.agent(await mortal(asked, name));
  const answer = await world.chat();
  expect(answer.status).toBe(502);
  expect(await answer.json()).toMatchObject({ error: { code: "upstream_error" } });
  expect(asked).toHaveLength(1);
  await world.when(() => world.pool.registry.models()[0]?.owners.length === 3, "the dead backend is announced");
  expect(await world.leftovers()).toEqual({});
});

test("a part of a split request that kills its backend kills no other one", async () => {
  await using world = new World();
  const asked: string[] = [];
  for (const name of ["a", "b"]) await world.agent(await mortal(asked, name), { batchSize: 100 });
  const answer = await world.post("/embeddings", { model: "test-model", input: ["x", "y", "z"] });
  expect(answer.status).toBe(502);
  expect(asked).toHaveLength(1);
  expect(await world.leftovers()).toEqual({});
});

const hand = async (world: World, id: string, path = world.connectUrl): Promise<HandWorker> => {
  const worker = await HandWorker.connect(path, { v2: true });
  worker.register({ worker_id: id, worker_name: id });
  await world.when(() => world.pool.registry.get(id) !== undefined, `${id} is registered`);
  return worker;
};

/** Waits for the worker that is asked next. */
function next(workers: HandWorker[]): Promise<HandWorker> {
  return Promise.race(workers.map(worker => worker.frame("head").then(() => worker)));
}

for (const retryLost of [0, 1, 2])
  test(`a request whose machine is lost is sent on ${retryLost} times (RETRY_LOST)`, async () => {
    await using world = new World({ broker: { retryLost } });
    const workers = await Promise.all(["a", "b", "c", "d"].map(id => hand(world, id)));
    const answer = world.chat();
    for (let lost = 0; lost <= retryLost; lost++) {
      const asked = await next(workers);
      workers.splice(workers.indexOf(asked), 1);
      asked.terminate();
    }
    expect((await answer).status).toBe(502);
    for (const worker of workers) expect(worker.frames).toEqual([]);
    for (const worker of workers) worker.close();
    expect(await world.leftovers()).toEqual({});
  });

test("a request whose machine is lost just after its agent told of the backend's death is not sent on", async () => {
  await using world = new World();
  const [dying, other] = [await hand(world, "dying"), await hand(world, "other")];
  const asked = world.chat();
  const first = await next([dying, other]);
  const second = first === dying ? other : dying;
  first.send({ type: "status_update", max_concurrency: 0, status: "not_ready" });
  await first.handled();
  first.terminate();
  expect((await asked).status).toBe(502);
  expect(second.frames).toEqual([]);
  second.close();
  expect(await world.leftovers()).toEqual({});
});

test("the start of a task is not sent on when its machine is lost", async () => {
  await using world = new World({ module: "docling" });
  const [one, two] = [await hand(world, "one"), await hand(world, "two")];
  const answer = world.post("/convert/source/async", { sources: [] });
  const asked = await next([one, two]);
  asked.terminate();
  expect((await answer).status).toBe(502);
  const rest = asked === one ? two : one;
  expect(rest.frames).toEqual([]);
  rest.close();
  expect(await world.leftovers()).toEqual({});
});

async function fleet(world: World, names: string[]): Promise<Record<string, TestBackend>> {
  const entries: [string, TestBackend][] = [];
  for (const name of names) entries.push([name, (await world.worker({ clientId: name, clientName: name })).backend]);
  return Object.fromEntries(entries);
}

const asCaller = (key: number) => ({
  headers: { authorization: `Bearer ${API_KEY}`, "x-forwarded-for": `10.0.0.${key}` },
});

test("a worker that fails fast rests, the others get the work, and a probe brings it back", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const { bad, good } = await fleet(world, ["bad", "good"]);
  bad!.respond = status(500, { error: { message: "CUDA error" } });
  const statuses: number[] = [];
  for (let i = 0; i < 20; i++) statuses.push((await world.chat({}, asCaller(i))).status);
  expect(statuses.filter(code => code === 500)).toHaveLength(2);
  expect(bad!.requests).toHaveLength(2);
  expect(good!.requests).toHaveLength(18);
  const worker = world.pool.registry.get("bad");
  expect(worker).toMatchObject({ resting: true, lastError: "the backend responded with status 500" });
  expect(worker?.totals.failed).toBe(2);
  clock.advance(1_000);
  bad!.respond = chatJson("well again");
  for (let i = 0; i < 4; i++) expect((await world.chat()).status).toBe(200);
  expect(bad!.requests).toHaveLength(4);
  expect(worker?.resting).toBeFalse();
  expect(await world.leftovers()).toEqual({});
});

test("with every worker resting the client gets the backend's own error at once", async () => {
  await using world = new World();
  const { a, b } = await fleet(world, ["a", "b"]);
  for (const backend of [a!, b!]) backend.respond = status(500, { error: { message: "CUDA error" } });
  for (let i = 0; i < 12; i++) {
    const answer = await world.chat({}, asCaller(i));
    expect([answer.status, await answer.json()]).toEqual([500, { error: { message: "CUDA error" } }]);
  }
  expect([...world.pool.registry.workers].map(({ resting }) => resting)).toEqual([true, true]);
  expect(world.pool.waiting).toBe(0);
  expect(await world.leftovers()).toEqual({});
});

test("a caller's own mistakes put no worker to rest", async () => {
  await using world = new World();
  const { only } = await fleet(world, ["only"]);
  for (const code of [400, 404, 429, 422]) {
    only!.respond = status(code, { error: { message: "no" } });
    for (let i = 0; i < 5; i++) expect((await world.chat({}, asCaller(i))).status).toBe(code);
  }
  expect(world.pool.registry.get("only")).toMatchObject({ resting: false, totals: { failed: 0 } });
});

for (const code of [429, 503])
  test(`a ${code} goes elsewhere once, then to the client as it is`, async () => {
    await using world = new World();
    const { a, b, c } = await fleet(world, ["a", "b", "c"]);
    const all = [a!, b!, c!];
    const body = { error: { message: "too busy" } };
    for (const backend of all) backend.respond = status(code, body, { "retry-after": "7" });
    const answer = await world.chat();
    expect([answer.status, answer.headers.get("retry-after"), await answer.json()]).toEqual([code, "7", body]);
    expect(all.reduce((sum, { requests }) => sum + requests.length, 0)).toBe(2);
    const free = all.find(({ requests }) => requests.length === 0);
    free!.respond = chatJson("here");
    for (let i = 0; i < 3; i++) expect((await world.chat()).status).toBeOneOf([200, code]);
    expect(await world.leftovers()).toEqual({});
  });

test("a 503 stays when nobody else has a free seat", async () => {
  await using world = new World();
  const { a, b } = await fleet(world, ["a", "b"]);
  const gate = new Gate();
  a!.respond = b!.respond = async (request, recorded) => {
    if (recorded.body?.includes("one too many")) return json({ error: "busy" }, 503);
    await gate.wait(request.signal);
    return chatJson("done")(request, recorded);
  };
  const running = [1, 2, 3].map(() => world.chat());
  await world.when(() => world.pool.inflight === 3, "three have a slot");
  expect((await world.chat({ user: "one too many" })).status).toBe(503);
  gate.open();
  for (const one of running) expect((await one).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a backend's 500 is a failure in the access log, the metrics and the state", async () => {
  await using world = new World();
  const { only } = await fleet(world, ["only"]);
  only!.respond = status(500, { error: { message: "CUDA error" } });
  expect((await world.chat()).status).toBe(500);
  const line = world.logs.find(({ fields }) => fields["job_type"] === "llm.completion" && "outcome" in fields);
  expect(line?.fields).toMatchObject({ status: 500, outcome: "upstream_error" });
  const metrics = await (await fetch(`${world.origin}/metrics`)).text();
  expect(metrics).toMatch(/nfrx_request_completed_total\{.*success="false",error_code="upstream_error"\} 1/);
  const state = await (
    await fetch(`${world.origin}/api/state`, { headers: { authorization: `Bearer ${API_KEY}` } })
  ).json();
  expect(state).toMatchObject({
    plugins: { llm: { server: { jobs_failed_total: 1 }, workers: [{ failures_total: 1, resting: false }] } },
  });
});

test("a backend that is down is announced at once: it is not listed, and who waits for it does not wait long", async () => {
  await using world = new World({ pool: { graceMs: 0 } });
  const { backend } = await world.worker({ maxConcurrency: 1 });
  expect((await world.chat()).status).toBe(200);
  const gate = new Gate();
  backend.respond = async request => {
    await gate.wait(request.signal);
    return json({});
  };
  const running = world.chat();
  await backend.arrived(2);
  const waiting = world.chat();
  await world.when(() => world.pool.waiting === 1, "one waits");
  await backend.stop();
  expect((await running).status).toBe(502);
  const answer = await waiting;
  expect(answer.status).toBeOneOf([404, 502, 503]);
  await world.when(() => world.pool.registry.models().length === 0, "the model is not listed");
  expect([...world.pool.registry.workers].map(({ state }) => state)).toEqual(["not_ready"]);
  expect(await world.leftovers()).toEqual({});
});

test("who waits for a backend that restarts within the grace is served", async () => {
  await using world = new World();
  const worker = await hand(world, "restarting");
  worker.send({ type: "status_update", max_concurrency: 0, status: "not_ready" });
  await worker.handled();
  const asked = world.chat();
  await world.when(() => world.pool.waiting === 1, "it waits");
  worker.send({ type: "status_update", max_concurrency: 1, status: "idle" });
  worker.answer((await worker.frame("head")).id, 200, "{}");
  expect((await asked).status).toBe(200);
  worker.close();
  expect(await world.leftovers()).toEqual({});
});
