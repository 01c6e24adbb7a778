// The stream of states over HTTP: what comes, and what happens to who leaves and who does not read.
import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { STATE_INTERVAL_MS } from "../../../src/broker/observe/stream.ts";
import { parseState } from "../../kit/broker/state.ts";
import { Call, call } from "../../kit/http/call.ts";
import { HandWorker } from "../../kit/protocol/hand.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Changes, eventually } from "../../kit/time/until.ts";
import { API_KEY, World } from "../../kit/world.ts";

const HEADERS = { Authorization: `Bearer ${API_KEY}` };
const listen = (world: World): Call => new Call(`${world.origin}/api/state/stream`, { headers: HEADERS });
const eventsOf = (text: string): string[] => text.split("\n\n").slice(0, -1);
const arrived = (stream: Call, n: number): Promise<void> =>
  stream.when(() => eventsOf(stream.text).length >= n, `${n} events`);

test("it is the envelope as events, one at once and then every two seconds", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const streams = [listen(world), listen(world)];
  const [first] = streams;
  if (first === undefined) throw new Error("no stream");
  const { status, headers } = await first.head();
  expect([status, new Headers(headers).get("content-type")]).toEqual([200, "text/event-stream"]);
  for (const stream of streams) await arrived(stream, 1);
  const { agent } = await world.worker();
  for (const stream of streams) expect(eventsOf(stream.text)).toHaveLength(1);
  clock.advance(STATE_INTERVAL_MS);
  for (const stream of streams) await arrived(stream, 2);
  const [before, after] = eventsOf(first.text).map(event => {
    expect(event).toStartWith("data: ");
    return parseState(event.slice("data: ".length));
  });
  expect(before?.llm?.workers).toEqual([]);
  expect(before?.server.listeners).toBe(0);
  expect(after?.llm?.workers).toMatchObject([{ id: agent.id, status: "idle" }]);
  expect(after?.server.listeners).toBe(2);
  // All get the very same event.
  expect(eventsOf(streams[1]?.text ?? "")[1]).toBe(eventsOf(first.text)[1]);
  for (const stream of streams) stream.abort();
});

test("who leaves is forgotten, and without anybody the broker's clock is left alone", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  await call(`${world.origin}/api/state`, { headers: HEADERS });
  const quiet = clock.armed;
  const streams = [listen(world), listen(world), listen(world)];
  for (const stream of streams) await arrived(stream, 1);
  expect(clock.armed).toBe(quiet + 1);
  for (const stream of streams) stream.abort();
  await eventually(() => clock.armed === quiet, "the timer is gone");
});

test("it asks for the API key", async () => {
  await using world = new World();
  expect((await call(`${world.origin}/api/state/stream`)).status).toBe(401);
});

/** A listener that only counts, and may stop reading. */
class Counter {
  events = 0;
  bytes = 0;
  /** True once it has heard of the latest worker. */
  upToDate = false;
  readonly #socket: Socket;
  readonly #changes = new Changes();
  #tail: Buffer = Buffer.alloc(0);

  constructor(port: number) {
    this.#socket = connect({ port, host: "127.0.0.1" });
    this.#socket.write(`GET /api/state/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${API_KEY}\r\n\r\n`);
    this.#socket.on("data", (bytes: Buffer) => {
      this.bytes += bytes.length;
      const text = Buffer.concat([this.#tail, bytes]);
      for (let at = text.indexOf(BEGIN); at !== -1; at = text.indexOf(BEGIN, at + 1)) this.events++;
      this.upToDate ||= text.includes(LATEST);
      this.#tail = text.subarray(-(BEGIN.length - 1));
      this.#changes.notify();
    });
  }

  heard(events: number): Promise<void> {
    return this.#changes.when(
      () => this.events >= events,
      () => `${events} events, of which ${this.events} are here`,
    );
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }
}

const BEGIN = 'data: {"plugins"';
const LATEST = "the-latest-one";

test("what piles up for a listener that does not read is bounded, and when it reads again it hears the latest", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  // A state of about a MiB, so that the kernel's buffers are soon full.
  for (let at = 0; at < 20; at++) {
    const hand = await HandWorker.connect(world.connectUrl);
    hand.register({ worker_id: `w${at}`, models: Array.from({ length: 500 }, (_, n) => `${"m".repeat(100)}-${n}`) });
  }
  await world.when(() => world.pool.registry.size === 20, "all are registered");
  const { port } = world.broker;
  const [keen, lazy] = [new Counter(port), new Counter(port)];
  await Promise.all([keen.heard(1), lazy.heard(1)]);
  lazy.pause();
  const tick = async (): Promise<void> => {
    const before = keen.events;
    clock.advance(STATE_INTERVAL_MS);
    await keen.heard(before + 1);
  };
  const TICKS = 50;
  for (let n = 0; n < TICKS; n++) await tick();
  // The last of them may still be on its way.
  expect(keen.bytes).toBeGreaterThan((TICKS - 1) * 1_000_000);
  (await HandWorker.connect(world.connectUrl)).register({ worker_id: LATEST });
  await world.when(() => world.pool.registry.get(LATEST) !== undefined, "one more is registered");
  lazy.resume();
  // What the kernel and the broker had kept for it comes first; each turn sends one more.
  for (let turn = 0; !lazy.upToDate && turn < TICKS; turn++) {
    const before = lazy.events;
    await tick();
    await lazy.heard(before + 1);
  }
  expect(lazy.upToDate).toBeTrue();
  // Without a bound it had heard of every one of them first.
  expect(lazy.events).toBeLessThan(TICKS);
  keen.close();
  lazy.close();
}, 30_000);
