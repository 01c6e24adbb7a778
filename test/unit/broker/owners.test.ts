import { expect, test } from "bun:test";
import {
  FOREIGN,
  LocalOwnerMap,
  OWNED_ID_MAX,
  OWNER_KEPT_MS,
  OWNERS_MAX,
  Owners,
} from "../../../src/broker/pool/owners.ts";
import { TestClock } from "../../kit/time/clock.ts";

const ownersOf = (clock: TestClock): Owners => new Owners(new LocalOwnerMap(clock, OWNERS_MAX), "node");

test("the worker of an id is the one that was seen with it last", () => {
  const owners = ownersOf(new TestClock());
  expect(owners.find("t", "me")).toBeUndefined();
  owners.remember("t", "a", "me");
  owners.remember("u", "b", "me");
  expect([owners.find("t", "me"), owners.find("u", "me"), owners.find("v", "me")]).toEqual(["a", "b", undefined]);
  owners.remember("t", "b", "me");
  expect(owners.find("t", "me")).toBe("b");
});

test("an id of one caller is foreign to every other", () => {
  const owners = ownersOf(new TestClock());
  owners.remember("t", "a", "me");
  expect([owners.find("t", "me"), owners.find("t", "you")]).toEqual(["a", FOREIGN]);
});

test("so many are remembered; the one that nobody asked about for longest is forgotten first", () => {
  const owners = ownersOf(new TestClock());
  for (let i = 0; i < OWNERS_MAX; i++) owners.remember(`t${i}`, `w${i % 3}`, "me");
  owners.remember("t0", "w0", "me");
  owners.remember("one more", "w", "me");
  expect(["t0", "t1", "t2"].map(id => owners.find(id, "me"))).toEqual(["w0", undefined, "w2"]);
});

test("an id that is seen again takes no second place", () => {
  const owners = ownersOf(new TestClock());
  owners.remember("first", "a", "me");
  for (let i = 0; i < 2 * OWNERS_MAX; i++) owners.remember("busy", "a", "me");
  expect(owners.find("first", "me")).toBe("a");
});

test("an id is forgotten a day after its last use, and a very long one is never kept", () => {
  const clock = new TestClock();
  const owners = ownersOf(clock);
  owners.remember("t", "a", "me");
  clock.advance(OWNER_KEPT_MS - 1);
  expect(owners.find("t", "me")).toBe("a");
  clock.advance(1);
  expect([owners.find("t", "me"), owners.find("t", "you")]).toEqual([undefined, undefined]);
  owners.remember("x".repeat(OWNED_ID_MAX + 1), "a", "me");
  expect(owners.find("x".repeat(OWNED_ID_MAX + 1), "me")).toBeUndefined();
});

test("names of objects are names like any other", () => {
  const owners = ownersOf(new TestClock());
  for (const name of ["__proto__", "constructor", "toString"]) expect(owners.find(name, "me")).toBeUndefined();
  owners.remember("__proto__", "a", "me");
  expect(owners.find("__proto__", "me")).toBe("a");
});

test("an owner says which broker has it; what no caller is known for is everybody's", () => {
  const map = new LocalOwnerMap(new TestClock(), 10);
  const owners = new Owners(map, "here");
  owners.remember("t", "a", undefined);
  expect(map.get("t")).toEqual({ node: "here", worker: "a", caller: undefined });
  expect(owners.find("t", "you")).toBe("a");
  owners.forget("t");
  expect([owners.find("t", "you"), owners.size]).toEqual([undefined, 0]);
});

test("what is used is remembered anew", () => {
  const clock = new TestClock();
  const owners = new Owners(new LocalOwnerMap(clock, 10), "here", 1_000);
  owners.remember("used", "a", "me");
  owners.remember("left", "a", "me");
  clock.advance(999);
  owners.touch("used");
  owners.touch("unknown");
  clock.advance(1);
  expect([owners.find("used", "me"), owners.find("left", "me"), owners.size]).toEqual(["a", undefined, 1]);
});
