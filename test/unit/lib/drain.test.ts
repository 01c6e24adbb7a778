import { expect, test } from "bun:test";
import { Drain } from "../../../src/lib/drain.ts";
import { TestClock } from "../../kit/time/clock.ts";

test("a drain waits for what is in flight and takes nothing new", async () => {
  const drain = new Drain();
  const leave = [drain.enter(), drain.enter()];
  const done = drain.finish(new TestClock(), Number.POSITIVE_INFINITY);
  expect(() => drain.enter()).toThrow("draining");
  leave[0]?.();
  leave[0]?.(); // once is all it counts
  expect(drain.inflight).toBe(1);
  leave[1]?.();
  expect(await done).toBe(true);
});

test("what belongs to work that was let in is counted, and never turned away", async () => {
  const drain = new Drain();
  const held = drain.level();
  held(2);
  const done = drain.finish(new TestClock(), Number.POSITIVE_INFINITY);
  const leave = drain.join();
  expect(drain.inflight).toBe(3);
  held(0);
  held(1);
  leave();
  expect(drain.inflight).toBe(1);
  held(0);
  expect(await done).toBe(true);
});

test("its time may run out, be nothing, or not be needed", async () => {
  const clock = new TestClock();
  const drain = new Drain();
  expect(await drain.finish(clock, 1_000)).toBe(true);
  drain.end();
  drain.enter();
  expect(await drain.finish(clock, 0)).toBe(false);
  const late = drain.finish(clock, 1_000);
  clock.advance(1_000);
  expect(await late).toBe(false);
});

test("a second drain waits for its own work, whatever came of the first", async () => {
  const clock = new TestClock();
  const drain = new Drain();
  const first = drain.enter();
  const done = drain.finish(clock, 5_000);
  first();
  expect(await done).toBe(true);
  drain.end();
  drain.enter();
  const second = drain.finish(clock, 5_000);
  clock.advance(5_000);
  expect(await second).toBe(false);
});
