import { expect, test } from "bun:test";
import { ModuleMeter } from "../../../src/broker/observe/module-metrics.ts";
import { Meters } from "../../../src/lib/series.ts";

test("a module's counters go up only, under names of its own", async () => {
  const meters = new Meters();
  const metrics = new ModuleMeter("my-tool", meters);
  const greetings = metrics.counter({ name: "nfrx_my_tool_greetings_total", help: "Greetings.", labels: ["to"] });
  greetings.add({ to: "ann" });
  greetings.add({ to: "ann" }, 2);
  for (const by of [-1, Number.NaN]) expect(() => greetings.add({ to: "ann" }, by)).toThrow("cannot decrease");
  expect(await (await meters.response()).text()).toContain('\nnfrx_my_tool_greetings_total{to="ann"} 3\n');
  expect(() => metrics.counter({ name: "nfrx_my_tool_greetings_total", help: "Again." })).toThrow();
  expect(() => metrics.counter({ name: "nfrx_other_total", help: "x" })).toThrow("must begin with nfrx_my_tool_");
});
