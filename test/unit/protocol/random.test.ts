// Thousands of random interleavings of two ends, always the same ones, against the invariants of the tunnel.
import { expect, test } from "bun:test";
import { NfrxError } from "../../../src/lib/errors.ts";
import { STREAM_WINDOW, STREAM_WINDOW_MAX, V1_STREAM_BUFFER, WINDOW_GROWTH } from "../../../src/protocol/limits.ts";
import type { Link } from "../../../src/protocol/link.ts";
import type { Stream } from "../../../src/protocol/stream.ts";
import { LinkedPair } from "../../kit/protocol/linked-pair.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { byteAt, microtasks, NOTHING_HELD } from "./ends.ts";

/** mulberry32: small, fast, and the same everywhere. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One direction of an exchange: what was written and what was read of it. */
class Way {
  written = 0;
  ended = false;
  read = 0;
  /** What the reader was told at the end. */
  outcome: "open" | "whole" | "cut" = "open";

  constructor(readonly seed: number) {}
}

/** One end of a stream, as an application holds it. */
class End {
  reading = false;
  headSent: boolean;
  /** Reads whatever comes as soon as it comes. */
  readonly eager: boolean;

  constructor(
    readonly stream: Stream,
    readonly out: Way,
    readonly into: Way,
    opener: boolean,
    private readonly world: World,
  ) {
    this.headSent = opener;
    this.eager = world.chance(0.5);
    if (opener) world.track(stream.head());
    if (this.eager) this.readOn();
  }

  get canWrite(): boolean {
    return this.headSent && !this.out.ended && !this.stream.closed;
  }

  write(length: number): void {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at++) bytes[at] = byteAt(this.out.written + at, this.out.seed);
    this.out.written += length;
    this.world.track(this.stream.write(bytes));
  }

  end(length: number): void {
    const bytes = Buffer.allocUnsafe(length);
    for (let at = 0; at < length; at++) bytes[at] = byteAt(this.out.written + at, this.out.seed);
    this.out.written += length;
    this.out.ended = true;
    this.stream.end(bytes);
  }

  sendHead(end: boolean): void {
    this.headSent = true;
    this.out.ended = end;
    this.stream.sendHead({ status: 200, headers: [] }, end);
  }

  /** Reads once; an eager end goes on by itself. */
  readOn(): void {
    if (this.reading || this.into.outcome !== "open") return;
    this.reading = true;
    this.world
      .track(this.stream.read())
      .then(bytes => {
        this.reading = false;
        this.#took(bytes);
        if (bytes !== null && (this.eager || this.world.finishing)) this.readOn();
      })
      .catch(() => {
        this.reading = false;
        this.into.outcome = "cut";
      });
  }

  #took(bytes: Uint8Array | null): void {
    const { into } = this;
    if (bytes === null) {
      into.outcome = "whole";
      return;
    }
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] === byteAt(into.read + at, into.seed)) continue;
      this.world.broken.push(`stream ${this.stream.id}: byte ${into.read + at} is not in its place`);
      return;
    }
    into.read += bytes.length;
  }
}

class World {
  readonly clock = new TestClock();
  readonly pair: LinkedPair;
  readonly ends: End[] = [];
  readonly ways: Way[] = [];
  readonly broken: string[] = [];
  readonly closed: string[] = [];
  readonly random: () => number;
  finishing = false;
  pending = 0;
  resets = 0;
  #seeds = 0;
  /** The ways of a stream that has been opened and not yet been heard of, by its path. */
  readonly #opened = new Map<string, { up: Way; down: Way }>();

  constructor(
    seed: number,
    readonly version: 1 | 2,
  ) {
    this.random = generator(seed);
    const events = (side: string) => ({
      onStream: (stream: Stream, head: { path: string }) => this.#accepted(stream, head.path),
      onClosed: (code: number, reason: string) => this.closed.push(`${side} ${code} ${reason}`),
    });
    this.pair = new LinkedPair({
      clock: this.clock,
      version,
      // v1 lets only the broker open streams.
      broker: version === 2 ? events("broker") : { onClosed: events("broker").onClosed },
      agent: events("agent"),
    });
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** Counts a promise until it settles; its rejection is expected. */
  track<T>(promise: Promise<T>): Promise<T> {
    this.pending++;
    const settled = (): void => {
      this.pending--;
    };
    promise.then(settled, settled);
    return promise;
  }

  open(link: Link): void {
    const path = `/${this.#seeds++}`;
    const up = new Way(this.below(256));
    const down = new Way(this.below(256));
    this.#opened.set(path, { up, down });
    this.ways.push(up, down);
    const ended = this.chance(0.2);
    up.ended = ended;
    this.ends.push(new End(link.open({ method: "POST", path, headers: [["x", path]] }, ended), up, down, true, this));
  }

  #accepted(stream: Stream, path: string): void {
    const ways = this.#opened.get(path);
    if (ways === undefined) throw new Error(`a stream nobody opened: ${path}`);
    this.#opened.delete(path);
    this.ends.push(new End(stream, ways.down, ways.up, false, this));
  }

  length(): number {
    const kind = this.random();
    if (kind < 0.5) return 1 + this.below(50);
    if (kind < 0.9) return this.below(20_000);
    return this.below(300_000);
  }

  /** One random thing happens somewhere. */
  act(): void {
    const what = this.random();
    const live = this.ends.filter(end => !end.stream.closed || end.into.outcome === "open");
    const end = live[this.below(live.length)];
    if (what < 0.45) this.pair.step(this.chance(0.5) ? "broker" : "agent");
    else if (what < 0.5) this.clock.advance(this.below(40));
    else if (what < 0.56 || end === undefined) this.#openSomewhere();
    else this.#actOn(end, what);
  }

  #openSomewhere(): void {
    const link = this.version === 2 && this.chance(0.3) ? this.pair.agent : this.pair.broker;
    if (link.streams < 30) this.open(link);
  }

  #actOn(end: End, what: number): void {
    if (what < 0.74) {
      if (end.canWrite && end.stream.out.bytes < 400_000) end.write(this.length());
      else if (!end.headSent) end.sendHead(this.chance(0.1));
    } else if (what < 0.8) {
      if (end.canWrite) end.end(this.chance(0.5) ? 0 : this.length());
    } else if (what < 0.97) {
      if (!end.eager) end.readOn();
    } else if (what < 0.985) {
      this.resets++;
      end.stream.reset(new NfrxError(this.chance(0.5) ? "canceled" : "timeout", "at random"));
    } else if (this.version === 2 && end.headSent) {
      end.stream.stopReading();
      end.readOn();
    }
  }

  check(): void {
    for (const { stream } of this.ends) {
      const limit = this.version === 2 ? stream.window.size : V1_STREAM_BUFFER;
      if (stream.buffered > limit) this.broken.push(`${stream.buffered} bytes wait in a window of ${limit}`);
      if (stream.window.size > STREAM_WINDOW_MAX) this.broken.push(`a window of ${stream.window.size}`);
    }
    for (const link of [this.pair.broker, this.pair.agent]) {
      let grown = 0;
      for (const { stream } of this.ends)
        if (link.stream(stream.id) === stream) grown += stream.window.size - STREAM_WINDOW;
      if (grown !== link.growth || grown > WINDOW_GROWTH)
        this.broken.push(`windows have grown by ${grown}, the link counts ${link.growth}`);
    }
  }

  /** Everybody says what is left to say and reads to the end. */
  async finish(): Promise<void> {
    this.finishing = true;
    for (let before = -1; before !== this.ends.length; ) {
      before = this.ends.length;
      for (const end of this.ends) {
        if (!end.headSent) end.sendHead(false);
        if (end.canWrite) end.end(3);
        end.readOn();
      }
      await this.quiet();
    }
  }

  async quiet(): Promise<void> {
    do {
      this.pair.settle();
      await microtasks();
    } while (this.pair.pending("broker") + this.pair.pending("agent") > 0);
  }

  /** What a reader was told must be true. */
  judge(): { whole: number; cut: number } {
    const sum = { whole: 0, cut: 0 };
    for (const way of this.ways) {
      if (way.outcome === "whole") {
        sum.whole++;
        if (!way.ended || way.read !== way.written)
          this.broken.push(`a clean end after ${way.read} of ${way.written} bytes`);
      } else if (way.outcome === "cut") {
        sum.cut++;
      }
    }
    for (const end of this.ends) {
      if (!end.stream.closed) this.broken.push(`stream ${end.stream.id} is still open`);
      if (end.into.outcome === "open") this.broken.push(`the reader of ${end.stream.id} was told nothing`);
      if (end.stream.failure === undefined && end.into.outcome === "cut")
        this.broken.push(`stream ${end.stream.id} was cut without a failure`);
    }
    return sum;
  }
}

const STEPS = 4_000;

async function play(world: World, steps = STEPS): Promise<void> {
  for (let step = 0; step < steps; step++) {
    world.act();
    if (step % 4 === 0) await microtasks();
    if (step % 16 === 0) world.check();
  }
}

const runs: [version: 1 | 2, seed: number][] = [
  [2, 1],
  [2, 2],
  [2, 3],
  [2, 4],
  [2, 5],
  [2, 6],
  [1, 7],
  [1, 8],
];

test.each(runs)("wire v%d, seed %d: everything settles", async (version, seed) => {
  const world = new World(seed, version);
  await play(world);
  await world.finish();
  world.check();
  const { whole, cut } = world.judge();
  expect(world.broken).toEqual([]);
  expect(world.closed).toEqual([]);
  const { broker, agent } = world.pair;
  expect({ broker: [broker.streams, broker.growth], agent: [agent.streams, agent.growth] }).toEqual(NOTHING_HELD);
  expect(world.pending).toBe(0);
  // The run was worth something.
  expect(whole).toBeGreaterThan(100);
  expect(cut).toBeGreaterThan(10);
  expect(world.resets).toBeGreaterThan(10);
  broker.close(1000, "");
  await world.quiet();
  expect(world.clock.armed).toBe(0);
});

test.each([
  [11, "broker"],
  [12, "agent"],
  [13, "broker"],
  [14, "agent"],
] as const)("seed %d: after a goaway of the %s what runs finishes", async (seed, side) => {
  const world = new World(seed, 2);
  await play(world, 1_500);
  const leaver = world.pair[side];
  const other = world.pair[side === "broker" ? "agent" : "broker"];
  leaver.goaway();
  // Until the word has arrived the other end may still open streams; they are refused.
  for (let step = 0; step < 300; step++) {
    world.pair.step(world.chance(0.5) ? "broker" : "agent");
    if (!other.routable) break;
    if (world.chance(0.2)) world.open(other);
    if (step % 4 === 0) await microtasks();
  }
  await world.quiet();
  expect(() => other.open({ method: "GET", path: "/", headers: [] })).toThrow("accepts no new streams");
  await world.finish();
  world.judge();
  expect(world.broken).toEqual([]);
  expect([leaver.streams, leaver.growth, other.streams, other.growth, world.pending]).toEqual([0, 0, 0, 0, 0]);
});

test.each([
  [2, 21],
  [2, 22],
  [1, 23],
] as const)("wire v%d, seed %d: a link that is lost in the middle leaves nobody waiting", async (version, seed) => {
  const world = new World(seed, version);
  await play(world, 1_000);
  expect(world.pair.broker.streams).toBeGreaterThan(3);
  if (world.chance(0.5)) world.pair.broker.close(1000, "enough");
  else world.pair.agent.lost(1006, "cut");
  world.pair.broker.lost(1006, "cut");
  await world.quiet();
  for (const end of world.ends) end.readOn();
  await world.quiet();
  for (const end of world.ends) {
    while (end.into.outcome === "open") {
      end.readOn();
      await microtasks();
    }
  }
  world.judge();
  expect(world.broken).toEqual([]);
  expect([world.pair.broker.streams, world.pair.agent.streams, world.pending, world.clock.armed]).toEqual([0, 0, 0, 0]);
});
