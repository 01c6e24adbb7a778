import { expect, test } from "bun:test";
import { cutText } from "../../../src/lib/bytes.ts";

test.each([
  ["abc", 3, "abc"],
  ["abcd", 3, "abc"],
  ["", 3, ""],
  ["äöü", 6, "äöü"],
  ["äöü", 5, "äö"],
  ["äöü", 1, ""],
  ["€€", 4, "€"],
  ["😀😀", 7, "😀"],
  ["a😀", 4, "a"],
])("%p in %i bytes is %p", (text, most, cut) => {
  expect(cutText(text, most)).toBe(cut);
});
