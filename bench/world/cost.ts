/** What a way's parts spend while something runs through it. */
import type { Result } from "../load/jobs.ts";
import { minus } from "../stats.ts";
import { cpuSeconds, peakMiB, resetPeak } from "./proc.ts";
import { type Part, pidsOf, type Way } from "./way.ts";

export interface PartCost {
  part: Part["name"];
  cpuSeconds: number | null;
  peakMiB: number | null;
}

/** Runs `work`; returns what each part of the way spent meanwhile. */
export async function withCost(way: Way, work: () => Promise<Result>): Promise<{ result: Result; cost: PartCost[] }> {
  const before = way.parts.map(part => {
    const pids = pidsOf(part);
    resetPeak(pids);
    return { part: part.name, pids, cpu: cpuSeconds(pids) };
  });
  const result = await work();
  const cost = before.map(({ part, pids, cpu }) => ({
    part,
    cpuSeconds: minus(cpuSeconds(pids), cpu),
    peakMiB: peakMiB(pids),
  }));
  return { result, cost };
}

/** The costs of one part over several rounds: CPU adds up, peaks do not. */
export function partTotals(
  rounds: readonly PartCost[][],
  part: Part["name"],
): { cpu: number | null; peak: number | null } {
  const own = rounds.flatMap(costs => costs.filter(cost => cost.part === part));
  if (own.length === 0) return { cpu: null, peak: null };
  let cpu: number | null = 0;
  let peak: number | null = null;
  for (const one of own) {
    cpu = cpu === null || one.cpuSeconds === null ? null : cpu + one.cpuSeconds;
    if (one.peakMiB !== null) peak = Math.max(peak ?? 0, one.peakMiB);
  }
  return { cpu, peak };
}
