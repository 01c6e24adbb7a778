// Declarations of options as a plugin may write them: a wrong one is one sentence that names the option.
import { expect, test } from "bun:test";
import { options } from "../../../src/config/group.ts";
import { option } from "../../../src/config/option.ts";
import { program } from "../../../src/config/program.ts";
import { text } from "../../../src/config/values.ts";

/** What JavaScript hands over where TypeScript would have said no. */
const loose = <T>(value: unknown): T => value as T;
type Make = (spec: never) => unknown;

const wrong: [name: string, make: Make, spec: object, problem: RegExp][] = [
  ["no env", option.text, { env: undefined }, /an option of the kind text \(x\) has no `env`/],
  ["an env in lower case", option.text, { env: "foo" }, /option foo: `env` must consist of capitals/],
  ["no help", option.text, { help: undefined }, /option FOO: `help` is missing/],
  ["a number as a text", option.text, { default: 1 }, /option FOO: `default` must be text or undefined/],
  ["a secret with a default", option.secret, { default: "hush" }, /option FOO: `default` must be undefined/],
  [
    "an int below its least",
    option.int,
    { default: 0, min: 1 },
    /option FOO: the default "0" is not a whole number of at least 1$/,
  ],
  ["an int with a fraction", option.int, { default: 1.5 }, /option FOO: the default "1.5" is not a whole number$/],
  [
    "a number above its most",
    option.number,
    { default: 2, min: 0, max: 1 },
    /the default "2" is not a number from 0 to 1$/,
  ],
  ["bounds in the wrong order", option.int, { default: 1, min: 2, max: 1 }, /option FOO: `min` is greater than `max`/],
  ["a bound that is a text", option.int, { default: 1, min: "0" }, /option FOO: `min` must be a number$/],
  ["a size below 0", option.bytes, { default: -1 }, /option FOO: the default "-1" is not a size in bytes, such as/],
  ["a duration as a number", option.duration, { default: 30 }, /option FOO: `default` must be text such as "30s"/],
  ["a duration without a unit", option.duration, { default: "30" }, /option FOO: the default "30" is not a duration/],
  ["a duration without a default", option.duration, {}, /option FOO: `default` must be text such as/],
  ["a bool as a text", option.bool, { default: "yes" }, /option FOO: `default` must be true or false/],
  ["a choice without values", option.choice, { default: "a" }, /option FOO: `values` must be a list/],
  ["a choice of none of its values", option.choice, { default: "b", values: ["a"] }, /the default "b" is not one of a/],
  ["a list without what its items are", option.list, { default: [] }, /option FOO: `of` must declare/],
  ["a list as a text", option.list, { default: "a", of: text() }, /option FOO: `default` must be a list/],
  ["no URL", option.url, { default: "localhost" }, /option FOO: the default "localhost" is not a URL/],
];
test.each(wrong)("%s", (_, make, spec, problem) => {
  expect(() => make(loose<never>({ env: "FOO", help: "x", ...spec }))).toThrow(problem);
});

test("numbers without bounds take what a number can hold, and say no more than that", () => {
  const int = option.int({ env: "FOO", default: 5, help: "x" });
  expect([int.parse("-7"), int.parse(String(Number.MAX_SAFE_INTEGER))]).toMatchObject([{ ok: true }, { ok: true }]);
  expect([int.parse("9007199254740993").ok, int.parse("1.5").ok, int.expects]).toEqual([
    false,
    false,
    "a whole number",
  ]);
  const number = option.number({ env: "FOO", default: 0.5, help: "x", max: 10 });
  expect([number.parse("-1000.5"), number.parse("11")]).toEqual([{ ok: true, value: -1000.5 }, { ok: false }]);
  expect(number.expects).toBe("a number of at most 10");
  const bytes = option.bytes({ env: "FOO", default: undefined, help: "x" });
  expect([bytes.parse("1MiB"), bytes.parse("-1").ok]).toEqual([{ ok: true, value: 1_048_576 }, false]);
});

test("no option takes the flag that every program has", () => {
  const shape = { config: option.text({ env: "CONFIG", default: undefined, help: "x" }) };
  const build = { version: "1", sha: "x", date: "x" };
  const made = () =>
    program({ name: "x", summary: "x", configFile: "x.yaml", groups: { x: options("X", shape) }, build });
  expect(made).toThrow("x: two options share the flag config");
});
