/** 1 KiB chat requests at 1, 32 and 256 connections. */

import type { Result } from "../load/jobs.ts";
import { type LoopOptions, runLoop } from "../load/wrk.ts";
import { median, medianAdded, sum } from "../stats.ts";
import { type PartCost, partTotals, withCost } from "../world/cost.ts";
import type { Way } from "../world/way.ts";
import { type Bench, checked, inWorld, ROOMY, type World } from "../world/world.ts";

export interface ChatRow {
  way: string;
  connections: number;
  perSecond: number | null;
  p50: number | null;
  p99: number | null;
  addedP50: number | null;
  addedP99: number | null;
  /** CPU seconds per 10,000 requests. */
  cpu: { nginx: number | null; broker: number | null; agent: number | null };
  peakMiB: { nginx: number | null; broker: number | null; agent: number | null };
}

interface Round {
  result: Result;
  cost: PartCost[];
}

const WARMUP_S = 2;
const ANSWER_BYTES = 900;

export const chatBody = (extra: Record<string, unknown> = {}): string =>
  JSON.stringify({
    model: "bench-model",
    ...extra,
    messages: [{ role: "user", content: "All work and no play makes a dull bench. ".repeat(23) }],
  });

export async function benchChat(bench: Bench): Promise<ChatRow[]> {
  const rows: ChatRow[] = [];
  await inWorld(bench, bench.kinds, ROOMY, async world => {
    for (const way of world.ways) await warmUp(bench, way);
    for (const connections of bench.plan.chat.connections) rows.push(...(await level(bench, world, connections)));
  });
  return rows;
}

export const chatLoop = (way: Way, connections: number, seconds: number): LoopOptions => ({
  target: way.target("/v1/chat/completions"),
  body: chatBody(),
  connections,
  seconds,
  minBytes: ANSWER_BYTES,
});

/** Lets the just-in-time compilers on both sides see the work before it counts. */
async function warmUp(bench: Bench, way: Way): Promise<void> {
  bench.note(`chat: warm-up ${way.name}`);
  checked(bench, `chat warm-up ${way.name}`, await runLoop(bench.children, chatLoop(way, 32, WARMUP_S)));
}

async function level(bench: Bench, world: World, connections: number): Promise<ChatRow[]> {
  const { rounds, seconds } = bench.plan.chat;
  const done = new Map<Way, Round[]>(world.ways.map(way => [way, []]));
  for (let round = 1; round <= rounds; round++) {
    bench.note(`chat: ${connections} connections, round ${round} of ${rounds}`);
    for (const [way, results] of done) {
      const one = await withCost(way, () => runLoop(bench.children, chatLoop(way, connections, seconds)));
      checked(bench, `chat ${way.name} at ${connections} connections`, one.result);
      results.push(one);
    }
  }
  const base = [...done].find(([way]) => way.name === "direct")?.[1] ?? [];
  return [...done].map(([way, results]) => row(way.name, connections, results, base));
}

const pick = (rounds: readonly Round[], field: "p50" | "p99"): number[] =>
  rounds.map(({ result }) => result.latency?.[field] ?? Number.NaN);

function row(way: string, connections: number, rounds: readonly Round[], base: readonly Round[]): ChatRow {
  const answered = sum(rounds.map(({ result }) => result.answered));
  const of = (part: PartCost["part"]) => {
    const { cpu, peak } = partTotals(
      rounds.map(({ cost }) => cost),
      part,
    );
    return { cpu: cpu === null || answered === 0 ? null : (cpu / answered) * 10_000, peak };
  };
  const [nginx, broker, agent] = [of("nginx"), of("broker"), of("agent")];
  return {
    way,
    connections,
    perSecond: median(rounds.map(({ result }) => result.perSecond ?? Number.NaN)),
    p50: median(pick(rounds, "p50")),
    p99: median(pick(rounds, "p99")),
    addedP50: rounds === base ? null : medianAdded(pick(rounds, "p50"), pick(base, "p50")),
    addedP99: rounds === base ? null : medianAdded(pick(rounds, "p99"), pick(base, "p99")),
    cpu: { nginx: nginx.cpu, broker: broker.cpu, agent: agent.cpu },
    peakMiB: { nginx: nginx.peak, broker: broker.peak, agent: agent.peak },
  };
}
