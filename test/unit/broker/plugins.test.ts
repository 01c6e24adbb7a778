import { expect, test } from "bun:test";
import { chooseModules } from "../../../src/broker/plugins.ts";
import { defaultsOf } from "../../../src/config/group.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { llm, llmBrokerOptions } from "../../../src/modules/llm.ts";
import { poolSettings } from "../../../src/modules/pool.ts";

test("PLUGINS chooses modules; a name that none has is a warning, not an end", () => {
  const warnings: object[] = [];
  const log = { ...silentLog, warn: (fields: object) => void warnings.push(fields) };
  const known = [{ module: llm, pool: poolSettings(defaultsOf(llmBrokerOptions)) }];
  const ids = (...names: string[]) => chooseModules(names, known, ["mcp"], log).map(({ module }) => module.id);
  expect(ids("*")).toEqual(["llm"]);
  expect(ids("llm")).toEqual(["llm"]);
  expect(warnings).toEqual([]);
  expect(ids("mcp")).toEqual([]);
  expect(warnings).toEqual([]);
  expect(ids("llm", "nonsense")).toEqual(["llm"]);
  expect(warnings).toMatchObject([{ plugin: "nonsense" }]);
});
