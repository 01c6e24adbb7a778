/** SSE streams of 200 chunks, 5 ms apart. */

import { median, medianAdded } from "../stats.ts";
import { partTotals, withCost } from "../world/cost.ts";
import { type Bench, checked, inWorld, ROOMY, type World } from "../world/world.ts";

export interface SseRow {
  way: string;
  streams: number;
  firstByteP50: number | null;
  firstByteP99: number | null;
  addedFirstByteP50: number | null;
  addedFirstByteP99: number | null;
  chunkP50: number | null;
  chunkP99: number | null;
  addedChunkP50: number | null;
  addedChunkP99: number | null;
  /** How long one stream took; undisturbed it is a little over 200 × 5 ms. */
  streamP50: number | null;
  brokerPeakMiB: number | null;
  agentPeakMiB: number | null;
  /** Chunk p99 of every round: a single stall of the machine shows here. */
  roundsP99?: number[];
}

const CHUNKS = 200;
const INTERVAL_MS = 5;
/** Starts are spread so that the streams do not tick in step: a burst would measure itself. */
const SPREAD_MS = 250;

export async function benchSse(bench: Bench): Promise<SseRow[]> {
  const rows: SseRow[] = [];
  await inWorld(bench, bench.kinds, ROOMY, async world => {
    bench.note("sse: warm-up");
    await once(bench, world, 64, CHUNKS / 2);
    for (const { streams, rounds } of bench.plan.sse) {
      const all: SseRow[][] = [];
      for (let round = 1; round <= rounds; round++) {
        bench.note(`sse: ${streams} streams, round ${round} of ${rounds}`);
        all.push(await once(bench, world, streams, CHUNKS));
      }
      rows.push(...medians(all, streams));
    }
  });
  return rows;
}

async function once(bench: Bench, world: World, streams: number, chunks: number): Promise<SseRow[]> {
  const rows: SseRow[] = [];
  for (const way of world.ways) {
    const { result, cost } = await withCost(way, () =>
      world.load.run({
        kind: "streams",
        target: way.target("/v1/chat/completions"),
        streams,
        chunks,
        intervalMs: INTERVAL_MS,
        spreadMs: SPREAD_MS,
        deadlineMs: 60_000,
      }),
    );
    checked(bench, `sse ${way.name} with ${streams} streams`, result);
    rows.push({
      way: way.name,
      streams,
      firstByteP50: result.firstByte?.p50 ?? null,
      firstByteP99: result.firstByte?.p99 ?? null,
      addedFirstByteP50: null,
      addedFirstByteP99: null,
      chunkP50: result.chunk?.p50 ?? null,
      chunkP99: result.chunk?.p99 ?? null,
      addedChunkP50: null,
      addedChunkP99: null,
      streamP50: result.stream?.p50 ?? null,
      brokerPeakMiB: partTotals([cost], "broker").peak,
      agentPeakMiB: partTotals([cost], "agent").peak,
    });
  }
  return rows;
}

type Field = Exclude<keyof SseRow, "way" | "streams" | "roundsP99">;

function medians(rounds: readonly SseRow[][], streams: number): SseRow[] {
  const all = (way: string, field: Field): number[] =>
    rounds.map(rows => rows.find(row => row.way === way)?.[field] ?? Number.NaN);
  return (rounds[0] ?? []).map(({ way }) => {
    const middle = (field: Field): number | null => median(all(way, field));
    const added = (field: Field): number | null =>
      way === "direct" ? null : medianAdded(all(way, field), all("direct", field));
    return {
      way,
      streams,
      firstByteP50: middle("firstByteP50"),
      firstByteP99: middle("firstByteP99"),
      addedFirstByteP50: added("firstByteP50"),
      addedFirstByteP99: added("firstByteP99"),
      chunkP50: middle("chunkP50"),
      chunkP99: middle("chunkP99"),
      addedChunkP50: added("chunkP50"),
      addedChunkP99: added("chunkP99"),
      streamP50: middle("streamP50"),
      brokerPeakMiB: middle("brokerPeakMiB"),
      agentPeakMiB: middle("agentPeakMiB"),
      roundsP99: all(way, "chunkP99"),
    };
  });
}
