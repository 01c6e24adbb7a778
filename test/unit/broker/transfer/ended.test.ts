import { expect, test } from "bun:test";
import { EndedIds } from "../../../../src/broker/transfer/ended.ts";
import { TestClock } from "../../../kit/clock.ts";

test("what has ended is known for a time", () => {
  const clock = new TestClock();
  const ended = new EndedIds<string>(clock, 10, 1000);
  ended.add("a", "done");
  clock.advance(999);
  expect([ended.get("a"), ended.get("b")]).toEqual(["done", undefined]);
  clock.advance(1);
  expect(ended.get("a")).toBeUndefined();
  ended.add("b", "expired");
  expect([ended.size, ended.get("b")]).toEqual([1, "expired"]);
});

test("the oldest is forgotten when there are too many", () => {
  const ended = new EndedIds<number>(new TestClock(), 3, 1000);
  for (let i = 0; i < 5; i++) ended.add(`id-${i}`, i);
  expect([0, 1, 2, 3, 4].map(i => ended.get(`id-${i}`))).toEqual([undefined, undefined, 2, 3, 4]);
  expect(ended.size).toBe(3);
});
