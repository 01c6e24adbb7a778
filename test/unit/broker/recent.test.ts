// The last minutes of a module and of a worker, by a clock whose hands the test turns.
import { describe, expect, test } from "bun:test";
import { Median } from "../../../src/broker/pool/median.ts";
import { Rates, RECENT_INTERVAL_MS, RECENT_INTERVALS, Recent } from "../../../src/broker/pool/recent.ts";
import { Ring } from "../../../src/broker/pool/ring.ts";
import { recentState } from "../../../src/modules/state.ts";
import { TestClock } from "../../kit/time/clock.ts";

const ONE = { failed: false, usage: { in: 3, out: 5, total: 8 }, embeddings: 2, firstByteMs: 100 };
const zeros = (count: number): number[] => Array.from({ length: count }, () => 0);

class Watched {
  readonly clock = new TestClock();
  readonly recent = new Recent(this.clock.now());

  add(ended: Partial<typeof ONE> = {}): void {
    this.recent.add(this.clock.now(), { ...ONE, ...ended });
  }

  get view() {
    return recentState.parse(this.recent.view(this.clock.now(), this.clock.wall()));
  }
}

describe("the last minutes of a module", () => {
  test("are sixty intervals of nothing at first", () => {
    const { view, clock } = new Watched();
    expect(view.interval_ms).toBe(5_000);
    expect(view.requests).toEqual(zeros(60));
    expect(view.first_byte_ms).toEqual(zeros(60).map(() => null));
    expect(Date.parse(view.until)).toBe(clock.wall());
  });

  test("hold an interval once it is over, the newest last", () => {
    const watched = new Watched();
    watched.add();
    watched.add({ failed: true });
    expect(watched.view.requests).toEqual(zeros(60));
    watched.clock.advance(RECENT_INTERVAL_MS - 1);
    expect(watched.view.requests).toEqual(zeros(60));
    watched.clock.advance(1);
    const { view } = watched;
    expect(view.requests).toEqual([...zeros(59), 2]);
    expect(view.failed).toEqual([...zeros(59), 1]);
    expect(view.input_tokens).toEqual([...zeros(59), 6]);
    expect(view.output_tokens).toEqual([...zeros(59), 10]);
    expect(view.embeddings).toEqual([...zeros(59), 4]);
    expect(view.first_byte_ms.at(-1)).toBeWithin(97, 103);
    expect(Date.parse(view.until)).toBe(watched.clock.wall());
  });

  test("say when the last interval ended, in the middle of the next", () => {
    const watched = new Watched();
    watched.clock.advance(RECENT_INTERVAL_MS + 1_234);
    expect(Date.parse(watched.view.until)).toBe(watched.clock.wall() - 1_234);
  });

  test("move on, also while nobody looks and nothing ends", () => {
    const watched = new Watched();
    watched.add();
    watched.clock.advance(3 * RECENT_INTERVAL_MS);
    watched.add({ firstByteMs: 400 });
    watched.clock.advance(RECENT_INTERVAL_MS);
    expect(watched.view.requests.slice(-4)).toEqual([1, 0, 0, 1]);
    const [first, second, third, last] = watched.view.first_byte_ms.slice(-4);
    expect([second, third]).toEqual([null, null]);
    expect(first).toBeWithin(97, 103);
    expect(last).toBeWithin(388, 412);
  });

  test.each([
    [59, 1],
    [60, 0],
    [61, 0],
    [1_000_000, 0],
  ])("forget what is five minutes old: after %d more intervals there are %d", (more, left) => {
    const watched = new Watched();
    watched.add();
    watched.clock.advance((1 + more) * RECENT_INTERVAL_MS);
    expect(watched.view.requests.reduce((sum, count) => sum + count, 0)).toBe(left);
    expect(watched.view.first_byte_ms.filter(ms => ms !== null)).toHaveLength(left);
    expect(watched.view.requests).toHaveLength(RECENT_INTERVALS);
  });

  test("hold no first byte of a request that had none", () => {
    const watched = new Watched();
    watched.recent.add(watched.clock.now(), { failed: true, usage: undefined, embeddings: 0, firstByteMs: undefined });
    watched.clock.advance(RECENT_INTERVAL_MS);
    expect(watched.view.requests.at(-1)).toBe(1);
    expect(watched.view.first_byte_ms.at(-1)).toBeNull();
  });

  test("agree with a plain list of everything that came, however long the silences are", () => {
    const watched = new Watched();
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    const began = watched.clock.now();
    const all: number[] = [];
    for (let at = 0; at < 2_000; at++) {
      watched.clock.advance(random(20) === 0 ? random(400_000) : random(3_000));
      watched.add();
      all.push(watched.clock.now());
      if (random(10) > 0) continue;
      const now = Math.floor(watched.clock.now() / RECENT_INTERVAL_MS);
      const expected = zeros(60).map((_, slot) => {
        const from = (now - 60 + slot) * RECENT_INTERVAL_MS;
        return all.filter(time => time >= from && time < from + RECENT_INTERVAL_MS).length;
      });
      expect(watched.view.requests).toEqual(expected);
    }
    expect(watched.clock.now() - began).toBeGreaterThan(RECENT_INTERVALS * RECENT_INTERVAL_MS);
  });
});

describe("the rates of a worker", () => {
  const USAGE = { in: 600, out: 1_200, total: 1_800 };

  test("are taken over the last minute", () => {
    const clock = new TestClock();
    const rates = new Rates(clock.now());
    clock.advance(10 * 60_000);
    rates.add(clock.now(), USAGE, 60);
    expect(rates.view(clock.now())).toEqual({ input_tokens_per_s: 10, output_tokens_per_s: 20, embeddings_per_s: 1 });
    clock.advance(60_000);
    expect(rates.view(clock.now()).input_tokens_per_s).toBe(10);
    clock.advance(RECENT_INTERVAL_MS);
    expect(rates.view(clock.now())).toEqual({ input_tokens_per_s: 0, output_tokens_per_s: 0, embeddings_per_s: 0 });
  });

  test("are taken since it connected when that is shorter, but not over less than an interval", () => {
    const clock = new TestClock();
    const rates = new Rates(clock.now());
    rates.add(clock.now(), USAGE, 0);
    expect(rates.view(clock.now()).input_tokens_per_s).toBe(120);
    clock.advance(20_000);
    expect(rates.view(clock.now()).input_tokens_per_s).toBe(30);
    clock.advance(40_000);
    expect(rates.view(clock.now()).input_tokens_per_s).toBe(10);
  });
});

describe("the median", () => {
  test("is within about three per cent of the true one, from a tenth of a millisecond to ten minutes", () => {
    const median = new Median();
    for (const real of [0.2, 1, 7.7, 100, 2_345, 60_000, 599_000]) {
      for (const factor of [0.3, 0.5, 1, 3, 9]) median.add(real * factor);
      expect(median.take()).toBeWithin(real * 0.968, real * 1.032);
    }
  });

  test("is none of nothing, and of what was taken", () => {
    const median = new Median();
    expect(median.take()).toBeUndefined();
    median.add(5);
    expect(median.take()).toBeDefined();
    expect(median.take()).toBeUndefined();
  });

  test("of an even number is the lower one, of one the one", () => {
    const median = new Median();
    median.add(10);
    median.add(1_000);
    expect(median.take()).toBeWithin(9.6, 10.4);
    median.add(0);
    expect(median.take()).toBeWithin(0.001, 0.1);
    median.add(1e12);
    expect(median.take()).toBeWithin(600_000, 700_000);
  });
});

test("a ring works for times below zero and at the edges of intervals", () => {
  const ring = new Ring(1, 2, 10, -15);
  ring.add(0, 1);
  ring.advance(-1);
  ring.add(0, 2);
  expect(ring.read(0)).toEqual([0, 1]);
  ring.advance(0);
  expect(ring.read(0)).toEqual([1, 2]);
  expect(ring.sum(0)).toBe(3);
  // A clock that goes back changes nothing.
  ring.advance(-100);
  expect(ring.read(0)).toEqual([1, 2]);
});
