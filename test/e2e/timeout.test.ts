// A backend that falls silent is given up, whatever its agent says of itself; one that thinks is waited for.
import { expect, test } from "bun:test";
import { agentOptions } from "../../src/config/agent.ts";
import { defaultsOf } from "../../src/config/group.ts";
import { bytes, cut, headThenSilent, silent } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { Events } from "../kit/http/events.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { TestClock } from "../kit/time/clock.ts";
import { API_KEY, World } from "../kit/world.ts";

const SSE: [string, string][] = [["content-type", "text/event-stream"]];

const client = (world: World, body: object): Call =>
  new Call(`${world.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({ model: "test-model", ...body }),
  });

/** Lets time pass for the broker while the worker's heartbeats go on. */
async function pass(clock: TestClock, worker: HandWorker, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 2_500) {
    worker.send({ type: "heartbeat", ts: 1 });
    await worker.handled();
    clock.advance(Math.min(2_500, left));
  }
  await worker.handled();
}

async function handWorker(world: World): Promise<HandWorker> {
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register();
  await world.when(() => world.pool.registry.size === 1, "the worker is registered");
  return worker;
}

test("a silent backend is a 504, and hears that it is over", async () => {
  await using world = new World({ broker: { requestTimeoutMs: 200 } });
  const { backend } = await world.worker();
  backend.respond = silent();
  for (const stream of [false, true]) {
    const answer = await world.chat({ stream });
    expect(answer.status).toBe(504);
    expect(await answer.json()).toMatchObject({ error: { code: "timeout", type: "server_error" } });
  }
  await backend.aborted(2);
  // A slow backend is not asked again elsewhere.
  expect(backend.requests).toHaveLength(2);
  expect(await world.leftovers()).toEqual({});
});

test("heartbeats of its agent do not keep a silent backend's request alive, nor does its end harm the worker", async () => {
  const clock = new TestClock();
  await using world = new World({ clock, broker: { requestTimeoutMs: 60_000 } });
  const worker = await handWorker(world);
  const answer = world.chat();
  const { id } = await worker.frame("head");
  await pass(clock, worker, 57_500);
  expect(world.pool.inflight).toBe(1);
  await pass(clock, worker, 2_500);
  expect((await answer).status).toBe(504);
  expect(await worker.frame("reset")).toMatchObject({ id, code: "timeout" });
  expect(world.pool.registry.size).toBe(1);
  const next = world.chat();
  worker.answer((await worker.frame("head", 2)).id, 200, "{}");
  expect((await next).status).toBe(200);
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("silence in mid-stream is an error event", async () => {
  await using world = new World({ broker: { requestTimeoutMs: 200 } });
  const { backend } = await world.worker();
  backend.respond = (request, recorded) => {
    const first = new TextEncoder().encode("data: one\n\n");
    const body = new ReadableStream<Uint8Array>({
      start: controller => controller.enqueue(first),
      pull: () => new Promise<void>(() => undefined),
    });
    expect(recorded.method).toBe(request.method);
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  const events = await new Events(await world.chat({ stream: true })).all();
  expect(events.map(({ event }) => event)).toEqual(["", "error"]);
  expect(JSON.parse(events[1]?.data ?? "")).toMatchObject({ error: { code: "timeout" } });
  await backend.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

test("silence after the head alone is an error too: an event of a stream, a cut body of anything else", async () => {
  await using world = new World({ broker: { requestTimeoutMs: 200 } });
  const { backend } = await world.worker();
  backend.respond = headThenSilent();
  const events = await new Events(await world.chat({ stream: true })).all();
  expect(events.map(({ event }) => event)).toEqual(["error"]);
  // The agent waits for the first bytes of what is no stream, so the client still gets a status.
  backend.respond = headThenSilent({ "content-type": "application/json" });
  const plain = client(world, {});
  const answer = await plain.answer();
  expect(answer.status).toBe(504);
  await backend.aborted(2);
  expect(await world.leftovers()).toEqual({});
});

test("silence in the middle of a body cuts it, it never ends as if it were whole", async () => {
  await using world = new World({ broker: { requestTimeoutMs: 200 } });
  const { backend } = await world.worker();
  backend.respond = () =>
    new Response(
      new ReadableStream<Uint8Array>({
        start: controller => controller.enqueue(new TextEncoder().encode('{"half":')),
        pull: () => new Promise<void>(() => undefined),
      }),
      { headers: { "content-type": "application/json" } },
    );
  const answer = await client(world, {}).answer();
  expect(answer.complete).toBeFalse();
  expect(answer.body.toString()).toBe('{"half":');
  await backend.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

test("a backend that says something now and then is never timed out", async () => {
  const clock = new TestClock();
  await using world = new World({ clock, broker: { requestTimeoutMs: 10_000 } });
  const worker = await handWorker(world);
  const reading = client(world, { stream: true });
  const { id } = await worker.frame("head");
  await pass(clock, worker, 9_000);
  worker.put(batch => batch.putHead(id, { status: 200, headers: SSE }, false));
  await worker.handled();
  for (let i = 1; i <= 4; i++) {
    await pass(clock, worker, 9_000);
    worker.put(batch => batch.putData(id, Buffer.from(`data: ${i}\n\n`), false));
    await reading.shows(`data: ${i}\n\n`);
  }
  worker.put(batch => batch.putData(id, Buffer.alloc(0), true));
  const answer = await reading.answer();
  expect(answer.complete).toBeTrue();
  expect(answer.body.toString()).toBe("data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a stream whose backend thinks gets a comment every 15 seconds, then the answer untouched", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const worker = await handWorker(world);
  const reading = client(world, { stream: true });
  const { id } = await worker.frame("head");
  await pass(clock, worker, 15_000);
  await reading.shows(": keep-alive\n\n");
  const head = await reading.head();
  expect(head.status).toBe(200);
  expect(head.headers).toContainEqual(["content-type", "text/event-stream"]);
  await pass(clock, worker, 15_000);
  await reading.shows(": keep-alive\n\n: keep-alive\n\n");
  worker.put(batch => batch.putHead(id, { status: 200, headers: SSE }, false));
  await worker.handled();
  await pass(clock, worker, 15_000);
  await reading.shows(": keep-alive\n\n: keep-alive\n\n: keep-alive\n\n");
  worker.put(batch => batch.putData(id, Buffer.from("data: half"), false));
  await reading.shows("data: half");
  // A comment could land inside the event.
  await pass(clock, worker, 45_000);
  worker.put(batch => batch.putData(id, Buffer.from(" whole\n\n"), true));
  const answer = await reading.answer();
  expect(answer.body.toString()).toBe(`${": keep-alive\n\n".repeat(3)}data: half whole\n\n`);
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("the backend's head does not come in vain: comments fill the time until its first event", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const worker = await handWorker(world);
  const reading = client(world, { stream: true });
  const { id } = await worker.frame("head");
  worker.put(batch => batch.putHead(id, { status: 200, headers: [...SSE, ["x-mine", "1"]] }, false));
  await worker.handled();
  await pass(clock, worker, 15_000);
  await reading.shows(": keep-alive\n\n");
  expect((await reading.head()).headers).toContainEqual(["x-mine", "1"]);
  worker.put(batch => batch.putData(id, Buffer.from("data: 1\n\n"), true));
  expect((await reading.answer()).body.toString()).toBe(": keep-alive\n\ndata: 1\n\n");
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a stream that falls silent between two events gets comments there", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const worker = await handWorker(world);
  const reading = client(world, { stream: true });
  const { id } = await worker.frame("head");
  worker.put(batch => batch.putHead(id, { status: 200, headers: SSE }, false));
  worker.put(batch => batch.putData(id, Buffer.from("data: 1\n\n"), false));
  await reading.shows("data: 1\n\n");
  await pass(clock, worker, 15_000);
  await reading.shows("data: 1\n\n: keep-alive\n\n");
  await pass(clock, worker, 10_000);
  worker.put(batch => batch.putData(id, Buffer.from("data: 2\n\ndata: "), false));
  await reading.shows("data: 2\n\ndata: ");
  await pass(clock, worker, 30_000);
  worker.put(batch => batch.putData(id, Buffer.from("3\n\n"), false));
  await reading.shows("data: 3\n\n");
  await pass(clock, worker, 15_000);
  await reading.shows("data: 3\n\n: keep-alive\n\n");
  worker.put(batch => batch.putData(id, Buffer.alloc(0), true));
  const answer = await reading.answer();
  expect(answer.body.toString()).toBe("data: 1\n\n: keep-alive\n\ndata: 2\n\ndata: 3\n\n: keep-alive\n\n");
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("what fails after a comment has opened the stream is an error event", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const worker = await handWorker(world);
  const reading = client(world, { stream: true });
  const { id } = await worker.frame("head");
  await pass(clock, worker, 15_000);
  await reading.shows(": keep-alive\n\n");
  const error = { message: "prompt too long", type: "x", code: "context_length_exceeded" };
  worker.answer(id, 400, JSON.stringify({ error }));
  const answer = await reading.answer();
  expect(answer.complete).toBeTrue();
  const [, data] = /event: error\ndata: (.*)\n\n$/.exec(answer.body.toString()) ?? [];
  expect(JSON.parse(data ?? "")).toEqual({ error });
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a plain request gets no comments: it waits for its status", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const worker = await handWorker(world);
  const reading = client(world, {});
  const { id } = await worker.frame("head");
  await pass(clock, worker, 60_000);
  worker.answer(id, 201, '{"late":true}');
  const answer = await reading.answer();
  expect([answer.status, answer.body.toString()]).toEqual([201, '{"late":true}']);
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("the agent gives up its backend too, and the client hears a timeout", async () => {
  await using world = new World();
  const { backend } = await world.worker({ requestTimeoutMs: 200 });
  backend.respond = silent();
  const answer = await world.chat();
  expect(answer.status).toBe(504);
  expect(await answer.json()).toMatchObject({ error: { code: "timeout" } });
  await backend.aborted(1);
  backend.respond = cut("");
  expect((await world.chat()).status).toBe(502);
  backend.respond = bytes(["{}"]);
  expect((await world.chat()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a backend may be silent for ten minutes, by default; a silent machine is found in thirty seconds all the same", async () => {
  const clock = new TestClock();
  await using world = new World({ clock, pool: { graceMs: 0 } });
  const worker = await handWorker(world);
  const slow = world.chat();
  await worker.frame("head");
  await pass(clock, worker, 10 * 60_000 - 2_500);
  expect(world.pool.inflight).toBe(1);
  await pass(clock, worker, 2_500);
  const answer = await slow;
  expect([answer.status, answer.headers.get("x-should-retry")]).toEqual([504, "false"]);
  const lost = world.chat();
  await worker.frame("head", 2);
  for (let left = 30_000; left > 0; left -= 2_500) clock.advance(2_500);
  expect((await lost).status).toBe(502);
  expect(world.pool.registry.size).toBe(0);
  expect(await world.leftovers()).toEqual({});
});

test("a module's own option comes before the common one, and that before the module's default", async () => {
  const clock = new TestClock();
  const silence = async (options: ConstructorParameters<typeof World>[0]): Promise<number> => {
    await using world = new World({ clock, ...options });
    const worker = await handWorker(world);
    const answer = world.post("/audio/speech", { model: "test-model", input: "x", voice: "y" });
    await worker.frame("head");
    let ms = 0;
    for (; world.pool.inflight > 0; ms += 2_500) await pass(clock, worker, 2_500);
    expect((await answer).status).toBe(504);
    worker.close();
    return ms;
  };
  const module = "asr";
  expect(await silence({ module, broker: { requestTimeoutMs: 60_000 }, pool: { requestTimeoutMs: 30_000 } })).toBe(
    30_000,
  );
  expect(await silence({ module, broker: { requestTimeoutMs: 60_000 } })).toBe(60_000);
  expect(await silence({ module })).toBe(3_600_000);
});

test("the agents have the limits of their modules too", () => {
  const limit = (module: string): number => defaultsOf(agentOptions(module)).requestTimeoutMs;
  expect(["llm", "asr", "docling"].map(limit)).toEqual([600_000, 3_600_000, 3_600_000]);
});
