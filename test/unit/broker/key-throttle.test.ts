import { describe, expect, test } from "bun:test";
import {
  KEY_ADDRESSES_MAX,
  KEY_FAILURES_MAX,
  KEY_FAILURES_MS,
  KEY_RETRY_MAX_MS,
  KEY_RETRY_MS,
} from "../../../src/broker/http/access/key-throttle.ts";
import { throttle } from "../../kit/broker/throttle.ts";
import { TestClock } from "../../kit/time/clock.ts";

/** The Retry-After of as many wrong keys from an address, in seconds; undefined for a plain 401. */
function waits(guesses: ReturnType<typeof throttle>, address: string, times: number): (number | undefined)[] {
  return Array.from({ length: times }, () => guesses.wrongKey("api", address).detail.retryAfterSeconds);
}

describe("wrong keys from one address", () => {
  test("are 401 up to the limit, then 429 with a wait that doubles up to its most", () => {
    const guesses = throttle({ clock: new TestClock() });
    expect(waits(guesses, "203.0.113.1", KEY_FAILURES_MAX).every(wait => wait === undefined)).toBe(true);
    const first = KEY_RETRY_MS / 1000;
    expect(waits(guesses, "203.0.113.1", 3)).toEqual([first, 2 * first, 4 * first]);
    expect(waits(guesses, "203.0.113.1", 100).at(-1)).toBe(KEY_RETRY_MAX_MS / 1000);
    expect(guesses.wrongKey("api", "203.0.113.1").code).toBe("too_many_attempts");
    // Another address is not concerned.
    expect(waits(guesses, "203.0.113.2", 1)).toEqual([undefined]);
  });

  test("are forgotten after a minute, or a minute after the wait", () => {
    const clock = new TestClock();
    const guesses = throttle({ clock });
    waits(guesses, "203.0.113.1", KEY_FAILURES_MAX);
    clock.advance(KEY_FAILURES_MS);
    expect(waits(guesses, "203.0.113.1", KEY_FAILURES_MAX + 1).at(-1)).toBe(KEY_RETRY_MS / 1000);
    clock.advance(KEY_FAILURES_MS);
    expect(waits(guesses, "203.0.113.1", 1)).toEqual([(2 * KEY_RETRY_MS) / 1000]);
    clock.advance(2 * KEY_RETRY_MS + KEY_FAILURES_MS);
    expect(waits(guesses, "203.0.113.1", 1)).toEqual([undefined]);
  });

  test("count together for a /64 of IPv6", () => {
    const guesses = throttle({ clock: new TestClock() });
    waits(guesses, "2001:db8::1", KEY_FAILURES_MAX);
    for (const same of ["2001:db8::2", "2001:0db8:0:0:ffff::", "2001:DB8:0:0:1:2:3:4", "2001:db8::1%eth0"])
      expect([same, waits(guesses, same, 1)[0] !== undefined]).toEqual([same, true]);
    for (const other of ["2001:db8:0:1::1", "2001:db9::1", "::1"])
      expect([other, waits(guesses, other, 1)]).toEqual([other, [undefined]]);
  });

  test("of more addresses than are remembered push out the oldest", () => {
    const guesses = throttle({ clock: new TestClock() });
    waits(guesses, "oldest", KEY_FAILURES_MAX);
    for (let at = 0; at < KEY_ADDRESSES_MAX; at++) guesses.wrongKey("api", `address-${at}`);
    expect(waits(guesses, "oldest", 1)).toEqual([undefined]);
  });
});
