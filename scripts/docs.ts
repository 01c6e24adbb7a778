// Writes every page that follows from the source. With --check it writes nothing and names the pages that are stale.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Glob } from "bun";
import { parse } from "yaml";
import { z } from "zod";
import { programs } from "../cmd/programs.ts";
import { ACCESS_FIELDS } from "../src/broker/http/access-log.ts";
import { configurationPage, limitsPage } from "../src/config/render.ts";
import { sampleEnv, sampleYaml } from "../src/config/samples.ts";
import { wholeBroker } from "../test/kit/broker/whole.ts";
import { alertTable } from "./alerts.ts";
import { apiPage } from "./api-page.ts";
import { dashboard } from "./grafana/dashboard.ts";
import { metricsPage } from "./metrics-page.ts";

const root = join(import.meta.dir, "..");

/** Reads a file of the repository, with the line ends that Git may have changed undone; undefined when it is missing. */
function read(path: string): string | undefined {
  const full = join(root, path);
  return existsSync(full) ? readFileSync(full, "utf8").replaceAll("\r\n", "\n") : undefined;
}

/** The source text of everything that runs in a broker or an agent, the wire's own limits aside. */
function rooms(): string {
  return [...new Glob("src/{lib,protocol,modules,broker,agent}/**/*.ts").scanSync({ cwd: root })]
    .filter(path => path !== "src/protocol/limits.ts")
    .sort()
    .map(path => read(path) ?? "")
    .join("\n");
}

/** Every page as it should be, by its path in the repository. */
export async function pages(): Promise<Map<string, string>> {
  const broker = wholeBroker();
  const found = new Map([
    ["doc/http-api.md", apiPage(broker.routes, broker.tags)],
    ["doc/configuration.md", configurationPage(programs)],
    ["doc/limits.md", limitsPage(read("src/protocol/limits.ts") ?? "", rooms(), programs)],
    ["doc/metrics.md", metricsPage()],
    ["packaging/grafana/nfrx.json", dashboard()],
  ]);
  for (const program of programs) {
    found.set(`examples/config/${program.configFile}`, sampleYaml(program));
    found.set(`examples/config/${program.configFile.replace(/\.yaml$/, ".env")}`, sampleEnv(program));
  }
  const mcp = read("doc/mcp.md");
  if (mcp !== undefined) found.set("doc/mcp.md", between(mcp, "differences", differencesTable()));
  const monitoring = read("doc/monitoring.md");
  if (monitoring !== undefined) found.set("doc/monitoring.md", monitoringPage(monitoring));
  const logs = read("doc/logs-and-traces.md");
  if (logs !== undefined) found.set("doc/logs-and-traces.md", between(logs, "fields", accessTable()));
  await broker.stop();
  return found;
}

function monitoringPage(page: string): string {
  const scrape = `\`\`\`yaml\n${read("packaging/prometheus/prometheus.yml") ?? ""}\`\`\``;
  const alerts = alertTable(read("packaging/prometheus/nfrx.rules.yml") ?? "");
  return between(between(page, "scrape", scrape), "alerts", alerts);
}

/** The page with something else between two of its comments. */
function between(page: string, name: string, text: string): string {
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const [from, to] = [page.indexOf(start), page.indexOf(end)];
  return from < 0 || to < 0 ? page : `${page.slice(0, from + start.length)}\n${text}\n${page.slice(to)}`;
}

/** The fields of a line of the access log. */
function accessTable(): string {
  const rows = Object.entries(ACCESS_FIELDS).map(([name, what]) => `| \`${name}\` | ${what} |`);
  return ["| Field | |", "| --- | --- |", ...rows].join("\n");
}

/** What the conformance suites see of a relay, and why; the tests hold this list to be complete. */
function differencesTable(): string {
  const rows = explained.parse(parse(read("test/conformance/differences.yaml") ?? "[]")).map(entry => {
    const { suites, providers, scenario, check, direct, tunnelled, why } = entry;
    return `| ${suites.join(", ")} | ${providers.join(", ")} | ${scenario}: ${check} | ${direct} | ${tunnelled} | ${why} |`;
  });
  return [
    "| Suite | Provider | Check | Directly | Through nfrx | Why |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

const explained = z.array(
  z.object({
    suites: z.array(z.string()),
    providers: z.array(z.string()),
    scenario: z.string(),
    check: z.string(),
    direct: z.string(),
    tunnelled: z.string(),
    why: z.string(),
  }),
);

/** The pages on disk that are not as they should be. */
export async function stalePages(): Promise<string[]> {
  return [...(await pages())].filter(([path, text]) => read(path) !== text).map(([path]) => path);
}

if (import.meta.main) {
  const stale = await stalePages();
  if (process.argv.includes("--check")) {
    for (const path of stale) console.error(`${path} is stale; run npm run docs`);
    process.exitCode = stale.length > 0 ? 1 : 0;
  } else {
    const fresh = await pages();
    for (const path of stale) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), fresh.get(path) ?? "");
      console.log(`wrote ${path}`);
    }
  }
}
