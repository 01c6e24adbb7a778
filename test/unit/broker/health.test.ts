import { describe, expect, test } from "bun:test";
import { Health, REST_FAILURES_ONE_CALLER, REST_MAX_MS, REST_MS, verdictOf } from "../../../src/broker/pool/health.ts";

/** Begins a request and has it fail. */
function fail(health: Health, now: number, caller: string): number {
  return health.failed(now, caller, health.begin(now));
}

describe("a worker rests", () => {
  test("after two failures in a row that hit two callers", () => {
    const health = new Health();
    expect([fail(health, 0, "a"), health.rests(0)]).toEqual([0, false]);
    expect([fail(health, 0, "b"), health.rests(0)]).toEqual([REST_MS, true]);
    expect([health.rests(REST_MS - 1), health.rests(REST_MS)]).toEqual([true, false]);
  });

  test("after four that hit one caller", () => {
    const health = new Health();
    for (let i = 1; i < REST_FAILURES_ONE_CALLER; i++) expect(fail(health, 0, "a")).toBe(0);
    expect(fail(health, 0, "a")).toBe(REST_MS);
  });

  test("not when a success lies between the failures", () => {
    const health = new Health();
    for (const caller of ["a", "b", "c", "d", "e"]) {
      expect(fail(health, 0, caller)).toBe(0);
      health.succeeded();
    }
    expect(health.rests(0)).toBeFalse();
  });
});

describe("after the rest", () => {
  const rested = (): Health => {
    const health = new Health();
    fail(health, 0, "a");
    fail(health, 0, "b");
    return health;
  };

  test("one request at a time probes the worker", () => {
    const health = rested();
    expect(health.begin(REST_MS)).toBeTrue();
    expect(health.rests(REST_MS)).toBeTrue();
    expect(health.begin(REST_MS)).toBeFalse();
    health.undecided();
    expect(health.begin(REST_MS)).toBeTrue();
  });

  test("a success ends the matter", () => {
    const health = rested();
    health.begin(REST_MS);
    expect(health.succeeded()).toBeTrue();
    expect([health.sound, health.rests(REST_MS)]).toEqual([true, false]);
    expect(fail(health, REST_MS, "a")).toBe(0);
  });

  test("each failed probe doubles the rest, up to the longest", () => {
    const health = rested();
    let now = 0;
    const rests: number[] = [];
    for (let ms = REST_MS; rests.length < 8; rests.push(ms)) {
      now += ms;
      expect(health.rests(now)).toBeFalse();
      ms = fail(health, now, "a");
      expect(health.rests(now + ms - 1)).toBeTrue();
    }
    expect(rests).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, REST_MAX_MS, REST_MAX_MS, REST_MAX_MS]);
  });

  test("a request from before the rest does not make it longer when it fails", () => {
    const health = rested();
    expect(health.failed(500, "c", false)).toBe(0);
    expect(health.rests(REST_MS)).toBeFalse();
  });
});

test("only a worker's own failures count, never the caller's mistakes, a limit or a cancel", () => {
  const verdicts = [200, 302, 400, 404, 429, 500, 501, 502, 503].map(status => verdictOf(status, undefined));
  const [ok, failed] = ["ok", "failed"] as const;
  expect(verdicts).toEqual([ok, ok, undefined, undefined, undefined, failed, undefined, failed, failed]);
  for (const code of ["upstream_error", "timeout", "protocol"]) expect(verdictOf(undefined, code)).toBe("failed");
  for (const code of ["canceled", "refused", "link_lost", "request_timeout", "too_large"])
    expect(verdictOf(undefined, code)).toBeUndefined();
  expect(verdictOf(200, "upstream_error")).toBe("failed");
  expect(verdictOf(503, "canceled")).toBe("failed");
});
