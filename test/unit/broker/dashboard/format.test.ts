import { expect, test } from "bun:test";
import { age, count, duration, plural, rate } from "../../../../src/broker/observe/dashboard/page/format.ts";

test.each([
  [0, "0"],
  [12_345, "12,345"],
  [99_999, "99,999"],
  [123_456, "123K"],
  [1_234_567, "1.23M"],
])("%d is written %s", (value, text) => {
  expect(count(value)).toBe(text);
});

test.each([
  [0, "0"],
  [0.04, "0"],
  [12.34, "12.3"],
  [1234.5, "1,235"],
])("%d a second is written %s", (value, text) => {
  expect(rate(value)).toBe(text);
});

test.each([
  [0, "0 ms"],
  [830.4, "830 ms"],
  [4200, "4.2 s"],
  [59_999, "59 s"],
  [60_000, "1 min"],
  [200_000, "3 min 20 s"],
  [7_500_000, "2 h 5 min"],
  [2 * 86_400_000 + 4 * 3_600_000, "2 d 4 h"],
  [2 * 86_400_000 + 60_000, "2 d"],
])("%d ms are written %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test("an age counts from the time it is given, and is empty for a time that is none", () => {
  const now = Date.parse("2026-01-01T00:01:00Z");
  expect(age("2026-01-01T00:00:00Z", now)).toBe("1 min ago");
  expect(age("2026-01-01T00:00:59.500Z", now)).toBe("now");
  expect(age("2026-01-01T00:02:00Z", now)).toBe("now");
  expect(age(undefined, now)).toBe("");
  expect(age("never", now)).toBe("");
});

test("one is not many", () => {
  expect([plural(0, "worker"), plural(1, "worker"), plural(2, "worker")]).toEqual([
    "0 workers",
    "1 worker",
    "2 workers",
  ]);
});
