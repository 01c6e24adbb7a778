import { expect, test } from "bun:test";
import { type Converted, HEADER_LISTS, HeaderMemo } from "../../../src/lib/header-memo.ts";
import type { HeaderPairs } from "../../../src/lib/http.ts";

const CHANGING = new Set(["x-request-id", "date"]);

/** A memo over a conversion that drops what begins with `no-`, and how often that has run. */
function counted(reusable = true) {
  const memo = new HeaderMemo<number>(CHANGING);
  let runs = 0;
  const convert = (list: HeaderPairs): Converted<number> => {
    runs++;
    const kept = list.filter(([name]) => !name.startsWith("no-"));
    return { pairs: kept.map(([name, value]) => [name, value]), about: list.length, reusable };
  };
  return {
    of: (...list: HeaderPairs) => memo.of(list, convert),
    get runs() {
      return runs;
    },
  };
}

test("a list that has come before is not converted again", () => {
  const memo = counted();
  const first = memo.of(["accept", "a"], ["no-go", "x"], ["x-request-id", "1"]);
  const second = memo.of(["accept", "a"], ["no-go", "x"], ["x-request-id", "2"]);
  expect(memo.runs).toBe(1);
  expect([Object.fromEntries(first.headers), first.about]).toEqual([{ accept: "a", "x-request-id": "1" }, 3]);
  expect([Object.fromEntries(second.headers), second.about]).toEqual([{ accept: "a", "x-request-id": "2" }, 3]);
});

test.each<[string, HeaderPairs]>([
  [
    "another value",
    [
      ["accept", "b"],
      ["x-request-id", "1"],
    ],
  ],
  [
    "another name",
    [
      ["accepts", "a"],
      ["x-request-id", "1"],
    ],
  ],
  [
    "another order",
    [
      ["x-request-id", "1"],
      ["accept", "a"],
    ],
  ],
  [
    "one header more",
    [
      ["accept", "a"],
      ["x-request-id", "1"],
      ["b", "c"],
    ],
  ],
  ["one header less", [["accept", "a"]]],
])("%s is another list", (_, list) => {
  const memo = counted();
  memo.of(["accept", "a"], ["x-request-id", "1"]);
  expect(Object.fromEntries(memo.of(...list).headers)).toEqual(Object.fromEntries(list));
  expect(memo.runs).toBe(2);
});

test("whoever has the headers may change them", () => {
  const memo = counted();
  for (const _ of "123") {
    const { headers } = memo.of(["accept", "a"]);
    expect([...headers]).toEqual([["accept", "a"]]);
    headers.set("accept", "b");
    headers.set("c", "d");
  }
});

test("a changing value that no header can hold goes to the conversion", () => {
  const memo = counted();
  memo.of(["date", "today"]);
  expect(() => memo.of(["date", "to\r\nmorrow"])).toThrow();
  expect(() => memo.of(["date", "to\r\nmorrow"])).toThrow();
  expect(memo.runs).toBe(3);
  expect(memo.of(["date", "tomorrow"]).headers.get("date")).toBe("tomorrow");
});

test("a changing header that comes twice is converted each time", () => {
  const memo = counted();
  for (const day of ["mon", "tue"]) expect(memo.of(["date", day], ["date", "x"]).headers.get("date")).toBe(`${day}, x`);
  expect(memo.runs).toBe(2);
});

test("what is not reusable is converted each time", () => {
  const memo = counted(false);
  memo.of(["accept", "a"]);
  memo.of(["accept", "a"]);
  expect(memo.runs).toBe(2);
});

test("only some lists are held, the latest", () => {
  const memo = counted();
  for (let at = 0; at <= HEADER_LISTS; at++) memo.of(["accept", String(at)]);
  memo.of(["accept", String(HEADER_LISTS)]);
  expect(memo.runs).toBe(HEADER_LISTS + 1);
  memo.of(["accept", "0"]);
  expect(memo.runs).toBe(HEADER_LISTS + 2);
});
