import { expect, test } from "bun:test";
import { defaultsOf, options } from "../../../src/config/group.ts";
import { option } from "../../../src/config/option.ts";
import { program } from "../../../src/config/program.ts";

const build = { version: "1", sha: "2", date: "3" };

test("two options of one name are a mistake in the source", () => {
  const once = options("One", { a: option.text({ env: "A", default: undefined, help: "A." }) });
  const again = options("Two", { b: option.text({ env: "B", flag: "a", default: undefined, help: "B." }) });
  expect(() => program({ name: "p", summary: "", configFile: "p.yaml", groups: { once, again }, build })).toThrow(
    "p: two options share the flag a",
  );
});

test("a default that the option would refuse is a mistake in the source", () => {
  expect(() => option.duration({ env: "A", default: "soon", help: "A." })).toThrow();
});

test("the defaults of a group can be had without a command line", () => {
  const group = options("One", {
    a: option.int({ env: "A", default: 3, min: 0, max: 9, help: "A." }),
    b: option.duration({ env: "B", default: "1m", help: "B." }),
  });
  const values: { readonly a: number; readonly b: number } = defaultsOf(group);
  expect(values).toEqual({ a: 3, b: 60_000 });
});
