/** How long programs take from their start until they are ready. */
import { median } from "../stats.ts";
import type { Part, WayKind } from "../world/way.ts";
import { type Bench, inWorld, ROOMY } from "../world/world.ts";

export interface StartRow {
  way: string;
  part: Part["name"];
  rounds: number;
  /** Milliseconds, the middle of all rounds: a broker until it answers, an agent until the broker lists its models. */
  readyMs: number | null;
  slowestMs: number;
}

/** Starts every pair several times, the first time without counting it: the files are then in memory. */
export async function benchStart(bench: Bench, pairs: readonly WayKind[]): Promise<StartRow[]> {
  const times = new Map<string, Map<Part["name"], number[]>>();
  for (let round = 0; round <= bench.plan.start.rounds; round++) {
    bench.note(`start: ${round === 0 ? "warm-up" : `round ${round} of ${bench.plan.start.rounds}`}`);
    for (const kind of pairs) {
      await inWorld(bench, [kind], ROOMY, async ({ ways }) => {
        for (const { name, readyMs } of round === 0 ? [] : ways.flatMap(way => way.parts)) {
          if (readyMs === undefined) continue;
          const parts = times.get(kind.name) ?? new Map<Part["name"], number[]>();
          times.set(kind.name, parts.set(name, [...(parts.get(name) ?? []), readyMs]));
        }
      });
    }
  }
  return [...times].flatMap(([way, parts]) =>
    [...parts].map(([part, all]) => ({
      way,
      part,
      rounds: all.length,
      readyMs: median(all),
      slowestMs: Math.max(...all),
    })),
  );
}
