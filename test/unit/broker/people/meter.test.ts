import { describe, expect, test } from "bun:test";
import { changeLimits, formatLimit, type Limit, parseLimit } from "../../../../src/broker/people/limit.ts";
import { Meter } from "../../../../src/broker/people/meter.ts";
import { SlidingMinute } from "../../../../src/broker/people/periods.ts";
import { NfrxError } from "../../../../src/lib/errors.ts";
import type { Reservation } from "../../../../src/modules/route.ts";
import { randomOf } from "../../../kit/load/random.ts";

const limitsOf = (...texts: string[]): Limit[] => changeLimits([], texts.map(parseLimit));
const NOON = Date.UTC(2026, 10, 30, 12);

/** What a refused request hears. */
function refusal(run: () => unknown): { code: string; seconds: number | undefined } {
  try {
    run();
  } catch (error) {
    if (error instanceof NfrxError) return { code: error.code, seconds: error.detail.retryAfterSeconds };
    throw error;
  }
  throw new Error("the request was let in");
}

describe("a limit", () => {
  test("is written as it is read", () => {
    for (const text of [
      "tokens/day=100k",
      "requests/min=60",
      "concurrent=2:soft",
      "tokens/month=2M:soft",
      "tokens/min=1500",
    ])
      expect(limitsOf(text).map(formatLimit)).toEqual([text]);
  });

  test("names what is wrong with it", () => {
    expect(() => parseLimit("tokens/week=5")).toThrow("tokens/week=5");
    expect(() => parseLimit("tokens/day=many")).toThrow('tokens/day: "many"');
    expect(() => parseLimit("concurrent=0")).toThrow("concurrent");
    expect(() => parseLimit("concurrent=1.5")).toThrow("concurrent");
  });

  test("is removed by none", () => {
    expect(
      changeLimits(limitsOf("concurrent=2", "tokens/day=1k"), [parseLimit("concurrent=none")]).map(formatLimit),
    ).toEqual(["tokens/day=1k"]);
  });
});

describe("a key at its limit", () => {
  test("requests a minute: refused until the oldest has left the window", () => {
    let wall = NOON;
    const meter = new Meter();
    const limits = limitsOf("requests/min=2");
    const admit = () => meter.admit(limits, 0, wall, () => wall);
    admit();
    wall += 10_000;
    admit();
    wall += 5_000;
    expect(refusal(admit)).toEqual({ code: "rate_limit_exceeded", seconds: 45 });
    wall += 44_000;
    expect(refusal(admit)).toEqual({ code: "rate_limit_exceeded", seconds: 1 });
    wall += 1_000;
    admit();
  });

  test("requests at once: refused until one has ended", () => {
    const meter = new Meter();
    const limits = limitsOf("concurrent=1");
    const admit = () => meter.admit(limits, 0, NOON, () => NOON);
    const first = admit();
    expect(refusal(admit)).toEqual({ code: "rate_limit_exceeded", seconds: 1 });
    first.settle({ tokens: 5, slotMs: 5 });
    admit();
  });

  test("tokens a day: a quota until midnight in UTC, but only for a moment while they are merely reserved", () => {
    let wall = NOON;
    const meter = new Meter();
    const limits = limitsOf("tokens/day=100");
    const admit = (tokens = 0) => meter.admit(limits, tokens, wall, () => wall);
    const first = admit(100);
    expect(refusal(admit)).toEqual({ code: "rate_limit_exceeded", seconds: 1 });
    first.settle({ tokens: 120, slotMs: 0 });
    expect(refusal(admit)).toEqual({ code: "insufficient_quota", seconds: 12 * 3600 });
    wall = Date.UTC(2026, 11, 1);
    admit();
  });

  test("tokens a month: until the first of the next month", () => {
    const meter = new Meter();
    const limits = limitsOf("tokens/month=1");
    meter.admit(limits, 0, NOON, () => NOON).settle({ tokens: 1, slotMs: 0 });
    expect(refusal(() => meter.admit(limits, 0, NOON, () => NOON))).toEqual({
      code: "insufficient_quota",
      seconds: 12 * 3600,
    });
  });

  test("soft: let in, behind everybody else", () => {
    const meter = new Meter();
    const limits = limitsOf("slot-seconds/day=10:soft");
    const admit = () => meter.admit(limits, 0, NOON, () => NOON);
    const first = admit();
    expect(first.behind).toBe(false);
    first.settle({ tokens: 0, slotMs: 10_000 });
    expect(admit().behind).toBe(true);
  });

  test("a refused request costs nothing", () => {
    const meter = new Meter();
    const limits = limitsOf("requests/min=1", "tokens/day=10");
    const waiting = meter.admit(limits, 5, NOON, () => NOON);
    meter.admit([], 0, NOON, () => NOON).settle({ tokens: 10, slotMs: 0 });
    expect(refusal(waiting.recheck).code).toBe("insufficient_quota");
    expect([meter.concurrent, meter.reservedTokens]).toEqual([0, 0]);
    expect(meter.use(limits, NOON).map(({ used }) => used)).toEqual([0, 10]);
  });
});

test("the sliding minute agrees with a list of all events", () => {
  const random = randomOf(7);
  const window = new SlidingMinute();
  let events: { at: number; amount: number }[] = [];
  let wall = NOON;
  const second = (time: number): number => Math.floor(time / 1000);
  for (let turn = 0; turn < 5_000; turn++) {
    wall += random(4_000);
    const amount = 1 + random(9);
    window.add(amount, wall);
    events.push({ at: wall, amount });
    events = events.filter(({ at }) => second(wall) - second(at) < 60);
    const sum = (now: number): number =>
      events.reduce((all, event) => (second(now) - second(event.at) < 60 ? all + event.amount : all), 0);
    expect(window.used(wall)).toBe(sum(wall));
    const max = 1 + random(300);
    const wait = window.secondsUntilBelow(max, wall);
    expect(sum(wall + wait * 1000)).toBeLessThan(max);
    if (wait > 0) expect(sum(wall + (wait - 1) * 1000)).toBeGreaterThanOrEqual(max);
  }
});

/** 1,000 requests at once, of random sizes, of which some are aborted and some fail. */
function storm(seed: number) {
  const random = randomOf(seed);
  const slots = 1 + random(8);
  const limits = limitsOf(`tokens/day=${1 + random(200_000)}`, `slot-seconds/day=${1 + random(500)}`);
  const meter = new Meter();
  const largest = { tokens: 0, slotMs: 0 };
  const attempt = <T>(run: () => T): T | undefined => {
    try {
      return run();
    } catch (error) {
      expect(error).toBeInstanceOf(NfrxError);
      return undefined;
    }
  };
  const admitted = Array.from({ length: 1_000 }, () =>
    attempt(() => meter.admit(limits, random(300), NOON, () => NOON)),
  );
  const waiting = admitted.filter(reservation => reservation !== undefined);
  const running: Reservation[] = [];
  const begin = (): void => {
    const [next] = waiting.splice(random(waiting.length), 1);
    if (next === undefined) return;
    if (random(10) === 0) next.release();
    else if (attempt(() => next.recheck() ?? true)) running.push(next);
  };
  const end = (): void => {
    const ended = running.shift();
    const failed = random(10) === 0;
    const cost = { tokens: failed ? 0 : random(5_000), slotMs: random(20_000) };
    largest.tokens = Math.max(largest.tokens, cost.tokens);
    largest.slotMs = Math.max(largest.slotMs, cost.slotMs);
    for (const _ of [1, 2]) ended?.settle(cost);
    ended?.release();
  };
  while (waiting.length + running.length > 0)
    if (waiting.length > 0 && running.length < slots) begin();
    else end();
  return { meter, limits, slots, largest };
}

test("1,000 requests at once: a hard limit is passed by at most one request a slot, and nothing stays reserved", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const { meter, limits, slots, largest } = storm(seed);
    expect([meter.concurrent, meter.reservedTokens]).toEqual([0, 0]);
    const over = meter.use(limits, NOON).map(({ used, max }) => used - max);
    expect(over[0]).toBeLessThanOrEqual(slots * largest.tokens);
    expect(over[1]).toBeLessThanOrEqual((slots * largest.slotMs) / 1000);
  }
});
