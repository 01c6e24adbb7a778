// The state envelope: who is here, who waits, who is gone, how it went.
import { expect, test } from "bun:test";
import { GONE_SHOWN_MAX, GONE_SHOWN_MS } from "../../../src/broker/pool/limits.ts";
import { chatJson, status } from "../../kit/backend/backend.ts";
import { ADMIN_KEY, moduleOf, stateOf } from "../../kit/broker/state.ts";
import { Call, call } from "../../kit/http/call.ts";
import { HandWorker } from "../../kit/protocol/hand.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";
import { API_KEY, World } from "../../kit/world.ts";

const gone = (world: World): Promise<void> => world.when(() => world.pool.registry.size === 0, "every worker has gone");

test("every field is there, of an empty broker and of one with a worker, in every module", async () => {
  for (const module of ["llm", "asr", "docling"] as const) {
    await using world = new World({ module });
    const empty = await stateOf(world);
    expect(empty.server).toMatchObject({ status: "not_ready", admin: false, listeners: 0, drainable_inflight: 0 });
    expect(empty[module]).toMatchObject({ models: [], workers: [], queue: [], workers_summary: { connected: 0 } });
    expect(empty.mcp).toBeUndefined();
    expect(empty.jobs).toMatchObject({ summary: { total_jobs: 0 }, workers: [], jobs: [] });
    const { agent } = await world.worker({ maxConcurrency: 3 });
    const { server, [module]: served } = await stateOf(world);
    expect(server.status).toBe("ready");
    expect(served?.workers).toMatchObject([
      { id: agent.id, status: "idle", max_concurrency: 3, inflight: 0, wire: 2, last_error: "", queue_len: 0 },
    ]);
    expect(served?.workers[0]?.host_info.hostname).not.toBe("");
    expect(served?.workers_summary).toEqual({ connected: 1, working: 0, idle: 1, not_ready: 0, draining: 0, gone: 0 });
  }
});

test("it says whether operator actions can be asked for", async () => {
  await using world = new World({ broker: { adminKey: ADMIN_KEY } });
  expect((await stateOf(world)).server.admin).toBeTrue();
});

test("models come with who serves them", async () => {
  await using world = new World();
  const [one, two] = [
    (await world.worker({ models: ["b", "shared"] })).agent,
    (await world.worker({ models: ["shared", "a"] })).agent,
  ];
  const { models, workers } = await moduleOf(world);
  expect(models).toEqual([
    { name: "a", workers: 1, worker_ids: [two.id] },
    { name: "b", workers: 1, worker_ids: [one.id] },
    { name: "shared", workers: 2, worker_ids: [one.id, two.id] },
  ]);
  expect(workers.map(worker => worker.models)).toEqual([
    ["b", "shared"],
    ["a", "shared"],
  ]);
});

test("who waits is shown in order, with what it waits for and for how long", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const { backend, agent } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = async (request, recorded) => {
    await gate.wait(request.signal);
    return chatJson("done")(request, recorded);
  };
  const running = [world.chat()];
  await backend.arrived(1);
  const body = JSON.stringify({ model: "test-model", messages: [] });
  running.push(world.chat({}, { headers: { "x-request-id": "the-second" } }));
  await world.when(() => world.pool.waiting === 1, "one waits");
  clock.advance(1_500);
  const pinned = new Call(`${world.origin}/api/llm/id/${agent.id}/v1/chat/completions`, {
    body,
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json", "X-Request-Id": "the-third" },
  });
  await world.when(() => world.pool.waiting === 2, "two wait");
  clock.advance(250);
  const { queue, server, workers } = await moduleOf(world);
  expect(queue).toEqual([
    { position: 1, request_id: "the-second", model: "test-model", waiting_ms: 1_750 },
    { position: 2, request_id: "the-third", model: "test-model", worker_id: agent.id, waiting_ms: 250 },
  ]);
  expect(server).toMatchObject({ jobs_inflight_total: 1, scheduler_queue_len: 2, scheduler_queue_capacity: 100 });
  expect(workers).toMatchObject([{ status: "working", inflight: 1 }]);
  gate.open();
  for (const response of await Promise.all(running)) expect(response.status).toBe(200);
  expect((await pinned.answer()).status).toBe(200);
  expect((await moduleOf(world)).queue).toEqual([]);
  expect(await world.leftovers()).toEqual({});
});

test("of a long queue the first fifty are shown", async () => {
  await using world = new World();
  const worker = await HandWorker.connect(world.connectUrl);
  worker.register({ max_concurrency: 0 });
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const leave = new AbortController();
  const calls = Promise.allSettled(Array.from({ length: 60 }, () => world.chat({}, { signal: leave.signal })));
  await world.when(() => world.pool.waiting === 60, "sixty wait");
  const { queue, server } = await moduleOf(world);
  expect(queue.map(({ position }) => position)).toEqual(Array.from({ length: 50 }, (_, at) => at + 1));
  expect(server.scheduler_queue_len).toBe(60);
  leave.abort();
  await calls;
  expect(await world.leftovers()).toEqual({});
});

test("the last minutes count what ended, and a worker's rates what it did", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const { backend } = await world.worker();
  await (await world.chat()).text();
  await (await world.post("/embeddings", { model: "test-model", input: ["one", "two", "three"] })).text();
  backend.respond = status(500);
  await (await world.chat()).text();
  const lost = await world.chat({ model: "nobody-has-this" });
  expect(lost.status).toBe(404);
  const before = await moduleOf(world);
  expect(before.recent.requests.every(count => count === 0)).toBeTrue();
  clock.advance(5_000);
  const { recent, workers } = await moduleOf(world);
  const [worker] = workers;
  const last = <T>(list: readonly T[]): T | undefined => list.at(-1);
  expect(last(recent.requests)).toBe(4);
  // The backend's 500, and the model that nobody has.
  expect(last(recent.failed)).toBe(2);
  expect(last(recent.embeddings)).toBe(3);
  expect(worker?.input_tokens_total).toBeGreaterThan(0);
  expect(last(recent.input_tokens)).toBe(worker?.input_tokens_total);
  expect(last(recent.output_tokens)).toBe(worker?.output_tokens_total);
  expect(last(recent.first_byte_ms)).toBeGreaterThan(0);
  expect(recent.first_byte_ms.slice(0, -1).every(ms => ms === null)).toBeTrue();
  expect(recent.interval_ms).toBe(5_000);
  // It has been here for five seconds.
  expect(worker?.rates.embeddings_per_s).toBe(3 / 5);
  expect(worker?.rates.input_tokens_per_s).toBeCloseTo((worker?.input_tokens_total ?? 0) / 5, 2);
});

test("a worker that left is shown as gone for a while, with what was last known of it", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const hand = await HandWorker.connect(world.connectUrl);
  hand.register({ worker_id: "w", worker_name: "The lost one" });
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  hand.terminate();
  await gone(world);
  const left = new Date(clock.wall()).toISOString();
  clock.advance(GONE_SHOWN_MS - 1);
  const { workers, workers_summary, models } = await moduleOf(world);
  expect(workers).toMatchObject([
    { id: "w", name: "The lost one", status: "gone", disconnected_at: left, inflight: 0 },
  ]);
  expect(workers_summary).toEqual({ connected: 0, working: 0, idle: 0, not_ready: 0, draining: 0, gone: 1 });
  expect(models).toEqual([]);
  clock.advance(1);
  expect((await moduleOf(world)).workers).toEqual([]);
});

test("one that comes back is no longer gone, and one that is replaced never was", async () => {
  await using world = new World();
  const joins = async (): Promise<HandWorker> => {
    const hand = await HandWorker.connect(world.connectUrl, { v2: true });
    hand.register({ worker_id: "w" });
    await hand.handled();
    return hand;
  };
  (await joins()).terminate();
  await gone(world);
  expect((await moduleOf(world)).workers_summary).toMatchObject({ connected: 0, gone: 1 });
  const second = await joins();
  expect((await moduleOf(world)).workers_summary).toMatchObject({ connected: 1, gone: 0 });
  // One that drains gives its id up.
  second.send({ type: "status_update", max_concurrency: 1, status: "draining" });
  await second.handled();
  await joins();
  await second.end();
  const { workers, workers_summary } = await moduleOf(world);
  expect(workers_summary).toMatchObject({ connected: 1, gone: 0 });
  expect(workers.map(({ status: word }) => word)).toEqual(["idle"]);
});

test("only so many of those that are gone are shown, the last ones", async () => {
  await using world = new World();
  for (let at = 0; at <= GONE_SHOWN_MAX; at++) {
    const hand = await HandWorker.connect(world.connectUrl, { v2: true });
    hand.register({ worker_id: `w${at}` });
    await hand.handled();
    hand.terminate();
    await gone(world);
  }
  const { workers } = await moduleOf(world);
  expect(workers.map(({ id }) => id)).toEqual(Array.from({ length: GONE_SHOWN_MAX }, (_, at) => `w${at + 1}`));
});

test("what a worker says of itself is cut and cleaned, and stays text", async () => {
  await using world = new World();
  const name = '<img src=x onerror=alert(1)>"\u0000\u0007';
  const hand = await HandWorker.connect(world.connectUrl, { v2: true });
  hand.register({ worker_name: name, models: [name], agent_config: { hostname: name, secret: "not shown" } });
  await hand.handled();
  const [worker] = (await moduleOf(world)).workers;
  const clean = '<img src=x onerror=alert(1)>"';
  expect([worker?.name, worker?.models, worker?.host_info.hostname]).toEqual([clean, [clean], clean]);
  const { body, headers } = await call(`${world.origin}/api/state`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
  });
  expect(body.toString()).not.toContain("not shown");
  expect(Object.fromEntries(headers)["content-type"]).toStartWith("application/json");
});
