import { expect, test } from "bun:test";
import { builtIn } from "../../../cmd/modules.ts";
import { chooseModules } from "../../../src/broker/choose-modules.ts";
import { silentLog } from "../../../src/lib/log.ts";

test("PLUGINS chooses modules; a name that none has is a warning, not an end, and a file is neither", () => {
  const warnings: object[] = [];
  const log = { ...silentLog, warn: (fields: object) => void warnings.push(fields) };
  const ids = (...names: string[]) => chooseModules(names, builtIn, log).map(({ id }) => id);
  expect(ids("*")).toEqual(["llm", "asr", "docling", "mcp"]);
  expect(ids("llm")).toEqual(["llm"]);
  expect(ids("mcp", "./rerank.ts", "/srv/plugins/tool")).toEqual(["mcp"]);
  expect(warnings).toEqual([]);
  expect(ids("llm", "nonsense")).toEqual(["llm"]);
  expect(warnings).toMatchObject([{ plugin: "nonsense" }]);
});

test("a path without a slash is told how to be one", () => {
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_: object, text: string) => void warnings.push(text) };
  expect(chooseModules(["src"], builtIn, log)).toEqual([]);
  expect(warnings).toEqual([expect.stringContaining("write ./src")]);
});
