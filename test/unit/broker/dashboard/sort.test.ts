import { expect, test } from "bun:test";
import { matches, type SortValue, sorted } from "../../../../src/broker/observe/dashboard/page/sort.ts";

const self = (value: SortValue): SortValue => value;

test("numbers sort as numbers, texts as people sort them", () => {
  expect(sorted([10, 9, 100], self, "ascending")).toEqual([9, 10, 100]);
  expect(sorted(["gpu-10", "GPU-9", "alpha"], self, "ascending")).toEqual(["alpha", "GPU-9", "gpu-10"]);
  expect(sorted(["gpu-10", "GPU-9", "alpha"], self, "descending")).toEqual(["gpu-10", "GPU-9", "alpha"]);
});

test("what is not known goes last in both directions", () => {
  expect(sorted([undefined, 2, 1], self, "ascending")).toEqual([1, 2, undefined]);
  expect(sorted([undefined, 1, 2], self, "descending")).toEqual([2, 1, undefined]);
});

test("rows that are equal keep their order in both directions", () => {
  const rows = ["b", "a", "c"];
  expect(sorted(rows, () => 1, "ascending")).toEqual(rows);
  expect(sorted(rows, () => 1, "descending")).toEqual(rows);
});

test("a filter wants each of its words somewhere", () => {
  const row = ["Studio", "qwen3:32b", "working"];
  expect(matches("studio QWEN", row)).toBe(true);
  expect(matches("studio llama", row)).toBe(false);
  expect(matches("", row)).toBe(true);
});
