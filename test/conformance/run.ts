// Runs a conformance suite against a URL and tells the result of every check; with a second URL, what differs there.
//   bun test/conformance/run.ts <suite> <url> [<url>]
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { until } from "../kit/time/until.ts";
import { compare } from "./compare.ts";
import { type Suite, suiteNames, suites } from "./suites.ts";

const root = join(import.meta.dir, "..", "..");

/** How long a suite may take in all; it takes seconds. */
const LIMIT_MS = 120_000;

/** The result of one check of one scenario; of a check that is made several times, all its results: "SUCCESS ×3". */
export interface Row {
  readonly scenario: string;
  readonly check: string;
  readonly status: string;
}

const Checks = z.array(z.object({ id: z.string(), status: z.string() }));

/** Runs a suite against the server at a URL. */
export async function runSuite(suite: Suite, url: string): Promise<Row[]> {
  const { package: name, arguments: args } = suites[suite];
  const folder = await mkdtemp(join(tmpdir(), "nfrx-conformance-"));
  try {
    const program = join(root, "node_modules", name, "dist", "index.js");
    const child = Bun.spawn([process.execPath, program, "server", "--url", url, ...args, "--output-dir", folder], {
      // No proxy, no settings of the caller.
      env: { PATH: process.env["PATH"], HOME: folder, NO_COLOR: "1" },
      cwd: folder,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const printed = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    try {
      await until(child.exited, `${suite} to end`, LIMIT_MS);
    } finally {
      child.kill("SIGKILL");
    }
    const [output, complaint] = await printed;
    return rowsOf(summaryOf(output, complaint), await checksIn(folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Every scenario that ran and what the suite says of it; the summary comes last, so without it the run was cut. */
function summaryOf(output: string, complaint: string): Map<string, string> {
  const [, summary] = output.split("=== SUMMARY ===");
  if (summary === undefined) throw new Error(`the suite did not come to its end\n${output}\n${complaint}`);
  const lines = summary.matchAll(/^[✓✗] ([^\s:]+): (\d+ passed, \d+ failed)$/gm);
  return new Map([...lines].map(([, scenario = "", result = ""]) => [scenario, result]));
}

/** Scenario → check → its results. */
async function checksIn(folder: string): Promise<Map<string, Map<string, string[]>>> {
  const found = new Map<string, Map<string, string[]>>();
  for (const name of await readdir(folder)) {
    const scenario = /^server-(.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z$/.exec(name)?.[1];
    const file = Bun.file(join(folder, name, "checks.json"));
    if (scenario === undefined || !(await file.exists())) continue;
    const checks = new Map<string, string[]>();
    for (const { id, status } of Checks.parse(await file.json())) {
      checks.set(id, [...(checks.get(id) ?? []), status]);
    }
    found.set(scenario, checks);
  }
  return found;
}

function rowsOf(summary: Map<string, string>, found: Map<string, Map<string, string[]>>): Row[] {
  return [...summary].flatMap(([scenario, result]) => {
    const checks = found.get(scenario);
    // A scenario that threw leaves no checks behind.
    if (checks === undefined) return [{ scenario, check: "(no checks)", status: result }];
    return [...checks].map(([check, statuses]) => ({ scenario, check, status: counted(statuses) }));
  });
}

function counted(statuses: readonly string[]): string {
  const counts = Map.groupBy(statuses.toSorted(), status => status);
  return [...counts].map(([status, { length }]) => (length === 1 ? status : `${status} ×${length}`)).join(", ");
}

/** Rows per result: "SUCCESS 43, INFO 4". */
function totals(rows: readonly Row[]): string {
  const counts = Map.groupBy(rows, ({ status }) => status.replace(/ ×\d+/g, ""));
  return [...counts].map(([status, { length }]) => `${status} ${length}`).join(", ");
}

async function main(): Promise<number> {
  const [suite, url, other] = process.argv.slice(2);
  const { data: chosen } = z.enum(suiteNames).safeParse(suite);
  if (chosen === undefined || url === undefined) {
    console.error(`usage: run.ts ${suiteNames.join("|")} <url> [<url>]`);
    return 2;
  }
  const rows = await runSuite(chosen, url);
  if (other === undefined) {
    console.table(rows);
    console.log(totals(rows));
    return 0;
  }
  const differences = compare(rows, await runSuite(chosen, other));
  if (differences.length === 0) {
    console.log(`no difference in ${rows.length} checks`);
    return 0;
  }
  console.table(differences);
  return 1;
}

if (import.meta.main) process.exit(await main());
