import { expect, test } from "bun:test";
import { SseEventBoundary } from "../../../src/lib/sse-event-boundary.ts";

/** What it says after each piece. */
function watch(...pieces: string[]): [between: boolean, longest: number][] {
  const borders = new SseEventBoundary();
  return pieces.map(piece => {
    const longest = borders.feed(Buffer.from(piece));
    return [borders.between, longest];
  });
}

test("an event ends with an empty line, whatever ends the lines", () => {
  for (const end of ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\n\n"]) {
    expect(watch(`data: 1${end}`)[0]?.[0]).toBeTrue();
    const [last] = watch(...`data: 1${end}`.split("")).slice(-1);
    expect(last?.[0]).toBeTrue();
  }
});

test("in the middle of an event it is not between events", () => {
  for (const part of ["d", "data: 1", "data: 1\n", "data: 1\r", "data: 1\r\n", "data: 1\r\n\r", "data: 1\n\nid"])
    expect([part, watch(part)[0]?.[0]]).toEqual([part, false]);
  expect(watch("")).toEqual([[true, 0]]);
  expect(watch("data: 1\r\n", "", "\r", "\n").map(([between]) => between)).toEqual([false, false, false, true]);
  expect(watch("data: 1\r\n\r", "data: 2").map(([between]) => between)).toEqual([false, false]);
});

test("how long events are, over any number of pieces", () => {
  const stream = `${"a".repeat(98)}\n\n${"b".repeat(298)}\n\n${"c".repeat(50)}`;
  expect(watch(stream)).toEqual([[false, 300]]);
  for (const size of [1, 2, 3, 99, 100, 101, 399]) {
    const pieces = stream.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
    const lengths = watch(...pieces).map(([, longest]) => longest);
    expect([size, Math.max(...lengths), lengths.at(-1)]).toEqual([size, 300, expect.any(Number)]);
  }
  expect(watch("aaaa", "a\n", "\nbb").map(([, longest]) => longest)).toEqual([4, 6, 7]);
});
