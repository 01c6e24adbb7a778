import { expect, test } from "bun:test";
import { IdleLimit } from "../../../src/lib/idle-limit.ts";
import { TestClock } from "../../kit/time/clock.ts";

const MS = 1_000;

test("what is silent for the time of the limit is told once, each at its own time", () => {
  const clock = new TestClock();
  const limit = new IdleLimit(clock, MS);
  const told: [name: string, at: number][] = [];
  const began = clock.now();
  for (const name of ["a", "b", "c"]) {
    limit.watch(() => told.push([name, clock.now() - began]));
    clock.advance(10);
  }
  clock.advance(5 * MS);
  expect(told).toEqual([
    ["a", MS],
    ["b", MS + 10],
    ["c", MS + 20],
  ]);
  expect(clock.armed).toBe(0);
});

test("a touch counts from its own time, also when others were touched before and after", () => {
  const clock = new TestClock();
  const limit = new IdleLimit(clock, MS);
  const told: [name: string, at: number][] = [];
  const began = clock.now();
  const watch = (name: string) => limit.watch(() => told.push([name, clock.now() - began]));
  const [a, b, c] = [watch("a"), watch("b"), watch("c")];
  clock.advance(100);
  c.touch();
  clock.advance(100);
  a.touch();
  clock.advance(100);
  watch("d");
  clock.advance(100);
  b.touch();
  clock.advance(5 * MS);
  expect(told).toEqual([
    ["c", MS + 100],
    ["a", MS + 200],
    ["d", MS + 300],
    ["b", MS + 400],
  ]);
});

test("a watch that is cancelled is never told, and no timer stays when nothing is watched", () => {
  const clock = new TestClock();
  const limit = new IdleLimit(clock, MS);
  const told: string[] = [];
  const watches = ["a", "b", "c"].map(name => limit.watch(() => told.push(name)));
  watches[1]?.cancel();
  watches[1]?.cancel();
  clock.advance(MS);
  expect(told).toEqual(["a", "c"]);
  const last = limit.watch(() => told.push("d"));
  expect(clock.armed).toBe(1);
  last.cancel();
  expect(clock.armed).toBe(0);
});

test("what is told may watch and cancel", () => {
  const clock = new TestClock();
  const limit = new IdleLimit(clock, MS);
  const told: string[] = [];
  limit.watch(() => {
    told.push("a");
    b.cancel();
    limit.watch(() => told.push("c"));
  });
  const b = limit.watch(() => told.push("b"));
  clock.advance(3 * MS);
  expect(told).toEqual(["a", "c"]);
  expect(clock.armed).toBe(0);
});

test("without a limit nothing is watched", () => {
  const clock = new TestClock();
  const watch = new IdleLimit(clock, 0).watch(() => expect.unreachable());
  expect(clock.armed).toBe(0);
  clock.advance(MS);
  watch.touch();
  watch.cancel();
});
