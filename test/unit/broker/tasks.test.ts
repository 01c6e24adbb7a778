import { expect, test } from "bun:test";
import { Tasks } from "../../../src/broker/pool/tasks.ts";

test("a task's worker is the one that was seen with it last", () => {
  const tasks = new Tasks();
  expect(tasks.owner("t")).toBeUndefined();
  tasks.remember("t", "a");
  tasks.remember("u", "b");
  expect([tasks.owner("t"), tasks.owner("u"), tasks.owner("v")]).toEqual(["a", "b", undefined]);
  tasks.remember("t", "b");
  expect(tasks.owner("t")).toBe("b");
});

test("ten thousand are remembered; the one that nobody asked about for longest is forgotten first", () => {
  const tasks = new Tasks();
  for (let i = 0; i < 10_000; i++) tasks.remember(`t${i}`, `w${i % 3}`);
  expect(tasks.owner("t0")).toBe("w0");
  tasks.remember("t0", "w0");
  tasks.remember("one more", "w");
  expect([tasks.owner("t0"), tasks.owner("t1"), tasks.owner("t2")]).toEqual(["w0", undefined, "w2"]);
  tasks.remember("another", "w");
  expect([tasks.owner("t2"), tasks.owner("t3"), tasks.owner("another")]).toEqual([undefined, "w0", "w"]);
});

test("a task that is seen again takes no second place", () => {
  const tasks = new Tasks();
  tasks.remember("first", "a");
  for (let i = 0; i < 20_000; i++) tasks.remember("busy", "a");
  expect(tasks.owner("first")).toBe("a");
});

test("names of objects are names like any other", () => {
  const tasks = new Tasks();
  for (const name of ["__proto__", "constructor", "toString"]) expect(tasks.owner(name)).toBeUndefined();
  tasks.remember("__proto__", "a");
  expect(tasks.owner("__proto__")).toBe("a");
});
