/** Thousands of open and silent streams. */
import { residentMiB } from "../world/proc.ts";
import { type Part, pidsOf, type Way } from "../world/way.ts";
import { type Bench, checked, inWorld } from "../world/world.ts";

export interface IdleRow {
  way: string;
  part: Part["name"];
  streams: number;
  /** Resident before the first request. */
  idleMiB: number | null;
  /** Resident with all streams open. */
  openMiB: number | null;
  kibPerStream: number | null;
}

const PARALLEL = 64;
const LIMIT_MS = 60_000;

export async function benchIdle(bench: Bench): Promise<IdleRow[]> {
  const { streams, settleMs } = bench.plan.idle;
  const rows: IdleRow[] = [];
  // Each way in a world of its own: three times 5,000 streams at once would measure the machine.
  for (const kind of bench.kinds) {
    if (kind.name === "direct") continue;
    await inWorld(
      bench,
      [kind],
      { agents: 1, maxConcurrency: streams * 2, embeddingBatch: 64 },
      async ({ ways, load }) => {
        for (const way of ways) {
          bench.note(`idle: ${way.name}, ${streams} streams`);
          await Bun.sleep(settleMs);
          const idle = resident(way);
          const target = way.target("/v1/chat/completions");
          const opened = await load.run({ kind: "hold", target, streams, parallel: PARALLEL, deadlineMs: LIMIT_MS });
          checked(bench, `idle ${way.name}`, opened);
          await Bun.sleep(settleMs);
          const open = resident(way);
          checked(bench, `idle ${way.name}, at the end`, await load.run({ kind: "release" }));
          for (const [part, idleMiB] of idle) {
            const openMiB = open.get(part) ?? null;
            const known = openMiB !== null && idleMiB !== null && opened.answered > 0;
            const kibPerStream = known ? ((openMiB - idleMiB) * 1024) / opened.answered : null;
            rows.push({ way: way.name, part, streams: opened.answered, idleMiB, openMiB, kibPerStream });
          }
        }
      },
    );
  }
  return rows;
}

const resident = (way: Way): Map<Part["name"], number | null> =>
  new Map(way.parts.map(part => [part.name, residentMiB(pidsOf(part))]));
