import { describe, expect, test } from "bun:test";
import { elementsOf, replaceValues, spanOf } from "../../../src/lib/json-span.ts";

const at = (text: string, ...path: string[]): string | undefined => {
  const span = spanOf(text, path);
  return span && text.slice(...span);
};

describe("the text of a value", () => {
  test.each([
    ['{"a":1}', "a", "1"],
    ['{"a":12345678901234567890}', "a", "12345678901234567890"],
    [' {\n"b" : 1 , "a"\t:\r -1.50e+3 }', "a", "-1.50e+3"],
    ['{"a":"x","b":"y"}', "b", '"y"'],
    ['{"a":"\\"}\\\\","b":true}', "b", "true"],
    ['{"a":"\\\\\\"","b":null}', "b", "null"],
    ['{"b":{"a":[1,{"a":2}]},"a":[ "]}", {"x":"{["} ] }', "a", '[ "]}", {"x":"{["} ]'],
    ['{"b":{"a":1}}', "a", undefined],
    ['{"a":1,"a":2}', "a", "2"],
    ['{"\\u0061":3}', "a", "3"],
    ['{"\\"a":3}', "a", undefined],
    ['{"__proto__":3}', "__proto__", "3"],
    ["{}", "a", undefined],
    ["[1]", "0", undefined],
    ['"a"', "a", undefined],
  ] as const)("%s at %s", (text, key, found) => {
    expect(at(text, key)).toBe(found);
  });

  test("deep down, and the whole", () => {
    const text = '{"params":{"_meta":{"progressToken": 7 }}}';
    expect(at(text, "params", "_meta", "progressToken")).toBe("7");
    expect(at(text, "params", "no", "progressToken")).toBeUndefined();
    expect(at(` ${text} `)).toBe(text);
  });

  test("is what JSON.parse finds, for any document", () => {
    let state = 3;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const keys = ["a", "b", "a\\u0062", '\\"', "{", "]"];
    const value = (depth: number): string => {
      const kind = random(depth > 3 ? 4 : 6);
      const many = <T>(make: () => T): T[] => Array.from({ length: random(4) }, make);
      if (kind === 4) return `[${many(() => value(depth + 1)).join(" ,")}]`;
      if (kind === 5) return `{${many(() => `"${keys[random(keys.length)]}" : ${value(depth + 1)}`).join(",")} }`;
      return ["1.0", "null", '"\\\\"', '"}\\","'][kind] ?? "0";
    };
    for (let round = 0; round < 2_000; round++) {
      const text = `{${keys.map(key => `"${key}":${value(0)}`).join(", ")}}`;
      const parsed: Record<string, unknown> = JSON.parse(text);
      for (const [key, expected] of Object.entries(parsed)) expect(JSON.parse(at(text, key) ?? "")).toEqual(expected);
    }
  });
});

test("elements of an array, as they were written", () => {
  expect(elementsOf(' [ 1.0 ,{"a":[2,"]"]},"x,y" ,null] ')).toEqual(["1.0", '{"a":[2,"]"]}', '"x,y"', "null"]);
  expect(elementsOf("[]")).toEqual([]);
});

test("values are exchanged, and all else stays", () => {
  const text = '{"id": 1, "n":1.0, "params":{"token":"t"}}';
  expect(
    replaceValues(text, [
      [["params", "token"], "9"],
      [["id"], '"x"'],
      [["none"], "0"],
    ]),
  ).toBe('{"id": "x", "n":1.0, "params":{"token":9}}');
});
