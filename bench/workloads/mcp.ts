/** One MCP client that calls a tool again and again. */
import type { Result } from "../load/jobs.ts";
import { type LoopOptions, runLoop } from "../load/wrk.ts";
import { median, medianAdded } from "../stats.ts";
import { direct, type Way, type WayKind } from "../world/way.ts";
import { type Bench, checked, inWorld, ROOMY } from "../world/world.ts";

export interface McpRow {
  way: string;
  perSecond: number | null;
  p50: number | null;
  p99: number | null;
  addedP50: number | null;
}

const CALL = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "tools/call",
  params: { name: "echo", arguments: { text: "All work and no play. ".repeat(10) } },
});
const WARMUP_S = 2;
const ANSWER_BYTES = 200;

const loop = (way: Way, seconds: number): LoopOptions => ({
  target: way.target("/mcp"),
  body: CALL,
  connections: 1,
  seconds,
  minBytes: ANSWER_BYTES,
});

/** Measures the given relays and the server itself. */
export async function benchMcp(bench: Bench, relays: readonly WayKind[]): Promise<McpRow[]> {
  const rows: McpRow[] = [];
  await inWorld(bench, [direct, ...relays], ROOMY, async world => {
    for (const way of world.ways)
      checked(bench, `mcp warm-up ${way.name}`, await runLoop(bench.children, loop(way, WARMUP_S)));
    const { rounds, seconds } = bench.plan.chat;
    const done = new Map<Way, Result[]>(world.ways.map(way => [way, []]));
    for (let round = 1; round <= rounds; round++) {
      bench.note(`mcp: round ${round} of ${rounds}`);
      for (const [way, results] of done) {
        const result = await runLoop(bench.children, loop(way, seconds));
        results.push(checked(bench, `mcp ${way.name}`, result));
      }
    }
    const base = [...done].find(([way]) => way.name === direct.name)?.[1] ?? [];
    for (const [way, results] of done) {
      rows.push({
        way: way.name,
        perSecond: median(results.map(result => result.perSecond ?? Number.NaN)),
        p50: median(latencies(results, "p50")),
        p99: median(latencies(results, "p99")),
        addedP50: results === base ? null : medianAdded(latencies(results, "p50"), latencies(base, "p50")),
      });
    }
  });
  return rows;
}

const latencies = (results: readonly Result[], field: "p50" | "p99"): number[] =>
  results.map(({ latency }) => latency?.[field] ?? Number.NaN);
