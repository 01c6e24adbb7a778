// What happens to requests for which no worker has room.
import { expect, test } from "bun:test";
import { chatJson, silent, status, type TestBackend } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { Events } from "../kit/http/events.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

/** Answers that wait at a gate, one pass each, and say which request they belong to. */
function gated(backend: TestBackend, gate: Gate): void {
  backend.respond = async (request, recorded) => {
    await gate.wait(request.signal);
    const { stream } = recorded.json() as { stream?: boolean };
    return stream
      ? new Response("data: done\n\n", { headers: { "content-type": "text/event-stream" } })
      : chatJson("done")(request, recorded);
  };
}

const mark = (request: { json(): unknown }): unknown => (request.json() as { user?: string }).user;

async function full(world: World): Promise<{ backend: TestBackend; gate: Gate; first: Promise<Response> }> {
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  gated(backend, gate);
  const first = world.chat({ user: "first" });
  await backend.arrived(1);
  return { backend, gate, first };
}

const waiting = (world: World, n: number): Promise<void> =>
  world.when(
    () => world.pool.waiting === n,
    () => `${n} requests wait, not ${world.pool.waiting}`,
  );

test("a full queue answers 503 with a word when to come back", async () => {
  await using world = new World({ pool: { queueSize: 2 } });
  const { gate, first } = await full(world);
  const queued = [world.chat(), world.chat()];
  await waiting(world, 2);
  for (const stream of [false, true]) {
    const refused = await world.chat({ stream });
    expect(refused.status).toBe(503);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refused.json()).toMatchObject({ error: { code: "worker_busy", type: "server_error" } });
  }
  gate.open();
  for (const response of await Promise.all([first, ...queued])) expect(response.status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("without a queue a busy worker is a 503 at once", async () => {
  await using world = new World({ pool: { queueSize: 0 } });
  const { gate, first } = await full(world);
  const refused = await world.chat();
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ error: { code: "worker_busy" } });
  gate.open();
  expect((await first).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("nobody waits longer than the deadline", async () => {
  const clock = new TestClock();
  await using world = new World({ clock, pool: { queueTimeoutMs: 9_000, queueUpdateMs: 5_000 } });
  const { gate, first } = await full(world);
  const plain = world.chat();
  const streamed = await world.chat({ stream: true });
  await waiting(world, 2);
  clock.advance(9_000);
  const refused = await plain;
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).not.toBeNull();
  expect(await refused.json()).toMatchObject({ error: { code: "worker_busy" } });
  // The stream was opened by its first queue event, so it ends with an error event.
  expect(streamed.status).toBe(200);
  const events = await new Events(streamed).all();
  expect(JSON.parse(events.at(-1)?.data ?? "")).toMatchObject({ error: { code: "worker_busy" } });
  expect(events.at(-1)?.event).toBe("error");
  gate.open();
  expect((await first).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a waiting stream hears of its place at once and then as it moves up", async () => {
  const clock = new TestClock();
  await using world = new World({ clock, pool: { queueUpdateMs: 4_000 } });
  const { gate, first, backend } = await full(world);
  const one = world.chat({ user: "one" });
  await waiting(world, 1);
  const two = await world.chat({ user: "two", stream: true }, { headers: { "x-request-id": "my-id" } });
  expect(two.status).toBe(200);
  expect(two.headers.get("content-type")).toBe("text/event-stream");
  const events = new Events(two);
  const position = (n: number) => ({
    type: "nfrx.queue",
    request_id: "my-id",
    model: "test-model",
    position: n,
  });
  const queued = await events.next();
  expect(queued?.event).toBe("nfrx.queue");
  expect(JSON.parse(queued?.data ?? "")).toEqual(position(2));
  gate.release();
  expect((await first).status).toBe(200);
  await backend.arrived(2);
  clock.advance(4_000);
  expect(JSON.parse((await events.next())?.data ?? "")).toEqual(position(1));
  gate.open();
  expect((await one).status).toBe(200);
  expect(await events.all()).toMatchObject([{ event: "", data: "done" }]);
  expect(await world.leftovers()).toEqual({});
});

test("a stream that waited ends with an error event when its backend fails", async () => {
  await using world = new World();
  const { gate, first, backend } = await full(world);
  const answer = await world.chat({ user: "two", stream: true });
  const events = new Events(answer);
  expect((await events.next())?.event).toBe("nfrx.queue");
  const error = { message: "slow down", type: "x", param: null, code: "rate_limit_exceeded" };
  backend.respond = status(429, { error });
  gate.open();
  await first;
  const [failed, ...rest] = await events.all();
  expect(rest).toEqual([]);
  expect(failed?.event).toBe("error");
  expect(JSON.parse(failed?.data ?? "")).toEqual({ error });
  expect(await world.leftovers()).toEqual({});
});

test("without queue events the backend's own status comes through after a wait", async () => {
  await using world = new World({ pool: { queueUpdateMs: 0 } });
  const { gate, first, backend } = await full(world);
  const answer = world.chat({ user: "two", stream: true });
  await waiting(world, 1);
  backend.respond = status(429, { error: { message: "slow down" } }, { "retry-after": "3" });
  gate.open();
  await first;
  expect((await answer).status).toBe(429);
  expect((await answer).headers.get("retry-after")).toBe("3");
  expect(await world.leftovers()).toEqual({});
});

test("first come, first served", async () => {
  await using world = new World();
  const { gate, first, backend } = await full(world);
  const answers = [first];
  for (let i = 1; i <= 20; i++) {
    answers.push(world.chat({ user: `n${i}` }));
    await waiting(world, i);
  }
  gate.open();
  await Promise.all(answers);
  expect(backend.requests.slice(1).map(mark)).toEqual(Array.from({ length: 20 }, (_, i) => `n${i + 1}`));
  expect(await world.leftovers()).toEqual({});
});

test("whoever cannot run yet does not hold back whoever can", async () => {
  await using world = new World();
  const gates = { a: new Gate(), b: new Gate() };
  const { backend: a } = await world.worker({ models: ["a"], maxConcurrency: 1 });
  const { backend: b } = await world.worker({ models: ["b"], maxConcurrency: 1 });
  gated(a, gates.a);
  gated(b, gates.b);
  const held = [world.chat({ model: "a" }), world.chat({ model: "b" })];
  await Promise.all([a.arrived(1), b.arrived(1)]);
  const early = world.chat({ model: "a" });
  await waiting(world, 1);
  const late = world.chat({ model: "b" });
  await waiting(world, 2);
  gates.b.open();
  expect((await late).status).toBe(200);
  expect(world.pool.waiting).toBe(1);
  gates.a.open();
  for (const answer of await Promise.all([early, ...held])) expect(answer.status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a caller's 200 waiting requests do not hold back another's first", async () => {
  await using world = new World({ pool: { queueSize: 1000 } });
  const { gate, first, backend } = await full(world);
  const from = (address: string, user: string): Call =>
    new Call(`${world.url}/chat/completions`, {
      headers: { Authorization: `Bearer ${API_KEY}`, "X-Forwarded-For": address },
      body: JSON.stringify({ model: "test-model", user }),
    });
  const greedy: Call[] = [];
  for (let i = 1; i <= 200; i++) greedy.push(from("203.0.113.1", `greedy ${i}`));
  await waiting(world, 200);
  const modest = from("203.0.113.2", "modest");
  await waiting(world, 201);
  // One turn of the first caller may come before it, no more.
  gate.release(3);
  expect((await modest.answer()).status).toBe(200);
  await first;
  const order = backend.requests.map(mark);
  expect(order.indexOf("modest")).toBeGreaterThan(0);
  expect(order.indexOf("modest")).toBeLessThanOrEqual(2);
  gate.open();
  for (const call of greedy) expect((await call.answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a client that leaves the queue frees its place, streaming or not", async () => {
  await using world = new World({ pool: { queueSize: 2 } });
  const { gate, first, backend } = await full(world);
  for (const stream of [false, true]) {
    const clients = [1, 2].map(
      () =>
        new Call(`${world.url}/chat/completions`, {
          headers: { Authorization: `Bearer ${API_KEY}` },
          body: JSON.stringify({ model: "test-model", stream }),
        }),
    );
    await waiting(world, 2);
    if (stream) await Promise.all(clients.map(client => client.shows("nfrx.queue")));
    expect((await world.chat()).status).toBe(503);
    for (const client of clients) client.abort();
    await waiting(world, 0);
  }
  gate.open();
  expect((await first).status).toBe(200);
  expect(backend.requests).toHaveLength(1);
  expect(await world.leftovers()).toEqual({});
});

test("a worker that joins takes over who waits, at once", async () => {
  await using world = new World();
  const { gate, first } = await full(world);
  const queued = [world.chat(), world.chat(), world.chat()];
  await waiting(world, 3);
  const { backend: second } = await world.worker({ maxConcurrency: 4 });
  for (const answer of await Promise.all(queued)) expect(answer.status).toBe(200);
  expect(second.requests).toHaveLength(3);
  gate.open();
  await first;
  expect(await world.leftovers()).toEqual({});
});

test("a queued request whose model nobody serves any more is told so", async () => {
  await using world = new World({ pool: { graceMs: 0 } });
  const { backend, agent } = await world.worker({ maxConcurrency: 1 });
  backend.respond = silent();
  const held = world.chat();
  await backend.arrived(1);
  const queued = world.chat();
  await waiting(world, 1);
  await agent.shutdown(0);
  expect((await queued).status).toBe(503);
  // It was lost before its answer began, and there is nobody else to ask.
  expect((await held).status).toBe(502);
  expect(await world.leftovers()).toEqual({});
});
