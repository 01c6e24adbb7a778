/** Chat at 32 connections with access log, traces and metrics on, and with all of them off. */
import { z } from "zod";
import { readLines } from "../lines.ts";
import type { Result } from "../load/jobs.ts";
import { runLoop } from "../load/wrk.ts";
import { median, over, sum } from "../stats.ts";
import type { Children } from "../world/children.ts";
import { type PartCost, partTotals, withCost } from "../world/cost.ts";
import { pairWay } from "../world/pair.ts";
import type { Way } from "../world/way.ts";
import { type Bench, checked, inWorld, ROOMY } from "../world/world.ts";
import { chatLoop } from "./chat.ts";

export interface ObserveRow {
  way: string;
  /** Spans of broker and agents that the collector took, and those that were lost. */
  spans: number;
  lost: number;
  perSecond: number | null;
  p50: number | null;
  p99: number | null;
  /** CPU seconds per 10,000 requests, broker and agent together. */
  cpu: number | null;
  /** Requests/s against those of the same round with all off, the median of all rounds. */
  ratio: number | null;
}

const CONNECTIONS = 32;
const WARMUP_S = 2;
/** Milliseconds between looks at the metrics. */
const SCRAPE_MS = 1000;
const OFF: Record<string, string> = { ACCESS_LOG: "false" };

interface Round {
  result: Result;
  cost: PartCost[];
}

/** Measures the pair in `dir` against itself. */
export async function benchObserve(bench: Bench, name: string, dir: string): Promise<ObserveRow[]> {
  const collector = await startCollector(bench.children);
  const on = { ACCESS_LOG: "true", OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector}` };
  const kinds = [pairWay(`${name}, all off`, dir, OFF), pairWay(`${name}, all on`, dir, on)];
  const rows: ObserveRow[] = [];
  await inWorld(bench, kinds, ROOMY, async ({ ways }) => {
    const [off, watched] = ways;
    if (off === undefined || watched === undefined) return;
    for (const way of ways) {
      bench.note(`observe: warm-up ${way.name}`);
      checked(
        bench,
        `observe warm-up ${way.name}`,
        await runLoop(bench.children, chatLoop(way, CONNECTIONS, WARMUP_S)),
      );
    }
    const { seconds } = bench.plan.observe;
    const done = new Map<Way, Round[]>(ways.map(way => [way, []]));
    await alternate(bench, off, watched, async way => {
      const one = await withCost(way, () => runLoop(bench.children, chatLoop(way, CONNECTIONS, seconds)));
      checked(bench, `observe ${way.name}`, one.result);
      done.get(way)?.push(one);
    });
    const base = rates(done.get(off) ?? []);
    for (const [way, results] of done) {
      const spans = spansIn(await metricsOf(way));
      if (way === watched && spans.exported === 0) bench.problem("observe: no span reached the collector");
      rows.push(row(way, results, spans, way === off ? undefined : base));
    }
  });
  return rows;
}

/** Measures both in turn: whichever comes first finds a cooler machine. */
async function alternate(bench: Bench, off: Way, watched: Way, measure: (way: Way) => Promise<void>): Promise<void> {
  const { rounds } = bench.plan.observe;
  for (let round = 1; round <= rounds; round++) {
    bench.note(`observe: round ${round} of ${rounds}`);
    for (const way of round % 2 === 0 ? [watched, off] : [off, watched])
      await (way === off ? measure(way) : scraped(way, () => measure(way)));
  }
}

/** Looks at the metrics of a way as Prometheus would, while it is measured. */
async function scraped(way: Way, measure: () => Promise<void>): Promise<void> {
  const timer = setInterval(() => void metricsOf(way).catch(() => {}), SCRAPE_MS);
  await measure();
  clearInterval(timer);
}

const rates = (rounds: readonly Round[]): number[] => rounds.map(({ result }) => result.perSecond ?? Number.NaN);

function row(
  way: Way,
  rounds: readonly Round[],
  { exported, lost }: { exported: number; lost: number },
  base: readonly number[] | undefined,
): ObserveRow {
  const answered = sum(rounds.map(({ result }) => result.answered));
  const costs = rounds.map(({ cost }) => cost);
  const cpu = sum((["broker", "agent"] as const).map(part => partTotals(costs, part).cpu ?? Number.NaN));
  const pick = (field: "p50" | "p99") => median(rounds.map(({ result }) => result.latency?.[field] ?? Number.NaN));
  return {
    way: way.name,
    spans: exported,
    lost,
    perSecond: median(rates(rounds)),
    p50: pick("p50"),
    p99: pick("p99"),
    cpu: answered === 0 ? null : (cpu / answered) * 10_000,
    ratio:
      base === undefined ? null : median(rates(rounds).map((rate, round) => over(rate, base[round]) ?? Number.NaN)),
  };
}

/** The metrics of a way's broker. */
async function metricsOf(way: Way): Promise<string> {
  const { port, token = "" } = way.target("");
  const response = await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  return response.text();
}

function spansIn(metrics: string): { exported: number; lost: number } {
  const of = (outcome: string): number =>
    Number(new RegExp(`^nfrx_trace_spans_total\\{outcome="${outcome}"\\} (\\d+)`, "m").exec(metrics)?.[1] ?? 0);
  return { exported: of("exported"), lost: of("failed") + of("dropped") };
}

async function startCollector(children: Children): Promise<number> {
  const child = children.talk("collector", "world/sink.ts");
  const first = Promise.withResolvers<number>();
  const hello = z.object({ port: z.number() });
  readLines(child.lines, line => first.resolve(hello.parse(JSON.parse(line)).port)).finally(() =>
    first.reject(new Error(`the collector ended: ${child.log()}`)),
  );
  return first.promise;
}
