import { expect, test } from "bun:test";
import { Deadlines } from "../../../../src/broker/jobs/store/deadlines.ts";
import { TestClock } from "../../../kit/time/clock.ts";

test("a few are told of at their time", () => {
  const clock = new TestClock();
  const due: string[] = [];
  const deadlines = new Deadlines(clock, name => due.push(name));
  for (const [name, ms] of [
    ["c", 30],
    ["a", 10],
    ["b", 20],
  ] as const)
    deadlines.set(name, ms);
  deadlines.set("b", 25);
  clock.advance(24);
  expect(due).toEqual(["a"]);
  clock.advance(1);
  expect(due).toEqual(["a", "b"]);
  deadlines.delete("c");
  expect(clock.armed).toBe(0);
});

test("many take no more looks than there is time for, and are told of a little late", () => {
  const clock = new TestClock();
  let looks = 0;
  const after = clock.after.bind(clock);
  clock.after = (ms, run) =>
    after(ms, () => {
      looks++;
      run();
    });
  const many = 20_000;
  const late: number[] = [];
  const begin = clock.now();
  const deadlines = new Deadlines(clock, name => late.push(clock.now() - begin - Number(name)));
  for (let ms = 1; ms <= many; ms++) deadlines.set(String(ms), ms);
  clock.advance(many + 100);
  expect(late).toHaveLength(many);
  expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...late)).toBeLessThanOrEqual(many / 1000);
  expect(looks).toBeLessThan(many / 2);
});
