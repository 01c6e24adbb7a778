import { expect, test } from "bun:test";
import { oneLine, safeJson } from "../../../src/lib/printable.ts";

/** Characters that a terminal, a log viewer or a person's eye would be deceived by. */
const DECEPTIVE = [
  "\u007f",
  "\u0080",
  "\u009b",
  "\u009f",
  "\u061c",
  "\u200e",
  "\u200f",
  "\u2028",
  "\u202a",
  "\u202e",
  "\u2066",
  "\u2069",
];

test("JSON with deceptive characters is escaped, and stands for the same value", () => {
  for (const character of DECEPTIVE) {
    const text = safeJson(JSON.stringify({ name: `a${character}b` }));
    expect(text).not.toContain(character);
    expect(JSON.parse(text)).toEqual({ name: `a${character}b` });
  }
});

test("other text passes as it is", () => {
  for (const text of ['{"a":"grüß dich 😀"}', "", '"\\u0000"', "שלום"]) expect(safeJson(text)).toBe(text);
});

test("a line for a terminal has no control character and no line break", () => {
  expect(oneLine("a\n\tb\u001b[31mc\u009b2Jd\u202ee")).toBe("a b\\u001b[31mc\\u009b2Jd\\u202ee");
});
