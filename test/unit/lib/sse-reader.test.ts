import { describe, expect, test } from "bun:test";
import { EventReader } from "../../../src/lib/sse-reader.ts";

function read(text: string | Uint8Array, size = 1_000, limit = 1_000): string[] {
  const found: string[] = [];
  const reader = new EventReader(limit, data => found.push(data));
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += size) reader.feed(bytes.subarray(at, at + size));
  return found;
}

describe("the data of events", () => {
  test.each([
    ["data: one\n\ndata:two\n\n", ["one", "two"]],
    ["data:  two spaces\n\n", [" two spaces"]],
    ["data: a\ndata\ndata: b\n\n", ["a\n\nb"]],
    ["data\n\n", [""]],
    ["\n\n: comment\n\nid: 1\n\nretry: 5\n\nevent: message\ndata: x\nid: 2\n\n", ["x"]],
    ["database: no\n\n data: no\n\n", []],
    ["data: a:b: c\n\n", ["a:b: c"]],
    ["data: not ended\n", []],
    ["\ufeffdata: after a mark\n\n", ["after a mark"]],
    ["data: ä😀\u2028\n\n", ["ä😀\u2028"]],
    ["data: a\r\n\r\ndata: b\r\rdata: c\n\r\ndata: d\r\n\n", ["a", "b", "c", "d"]],
    ["data: a\r\ndata: b\r\n\r\n", ["a\nb"]],
  ] as const)("%j", (text, found) => {
    for (const size of [1, 2, 3, 5, 100]) expect(read(text, size)).toEqual([...found]);
  });

  test("an event beyond the limit throws, many small ones do not", () => {
    expect(read(`data: ${"x".repeat(90)}\n\n`.repeat(50), 7, 100)).toHaveLength(50);
    for (const text of [`data: ${"x".repeat(100)}`, `data: ${"x".repeat(50)}\n`.repeat(2)])
      expect(() => read(text, 7, 100)).toThrow("more than 100 characters");
  });

  test("a long comment is left out, without being kept", () => {
    expect(read(`: ${"x".repeat(500)}\ndata: a\n\n`, 7, 100)).toEqual(["a"]);
  });
});
