import { expect, test } from "bun:test";
import { BoundedMap } from "../../../src/lib/bounded-map.ts";
import { TestClock } from "../../kit/time/clock.ts";

test("an entry lives for its time after it was set", () => {
  const clock = new TestClock();
  const map = new BoundedMap<string>(10, { clock, ms: 1000 });
  map.set("a", "done");
  clock.advance(999);
  expect([map.get("a"), map.has("a"), map.get("b"), map.has("b")]).toEqual(["done", true, undefined, false]);
  clock.advance(1);
  expect([map.has("a"), map.size]).toEqual([false, 0]);
});

test("setting an entry drops those whose time is over", () => {
  const clock = new TestClock();
  const map = new BoundedMap<string>(10, { clock, ms: 1000 });
  map.set("a", "done");
  clock.advance(1000);
  map.set("b", "expired");
  expect([map.size, map.entries()]).toEqual([1, [["b", "expired"]]]);
  clock.advance(1000);
  expect(map.entries()).toEqual([]);
});

test("the entry that was set longest ago makes room; reading does not renew it", () => {
  const map = new BoundedMap<number>(3);
  for (let at = 0; at < 5; at++) map.set(`id-${at}`, at);
  expect([0, 1, 2, 3, 4].map(at => map.get(`id-${at}`))).toEqual([undefined, undefined, 2, 3, 4]);
  map.set("id-2", 22);
  map.get("id-3");
  map.set("id-5", 5);
  expect(map.entries()).toEqual([
    ["id-4", 4],
    ["id-2", 22],
    ["id-5", 5],
  ]);
});

test("entries are deleted one by one, or all", () => {
  const map = new BoundedMap<number>(3);
  map.set("a", 1);
  map.set("b", 2);
  expect([map.delete("a"), map.delete("a"), map.size]).toEqual([true, false, 1]);
  map.clear();
  expect(map.size).toBe(0);
});
