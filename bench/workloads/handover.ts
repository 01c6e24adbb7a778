/** One worker with one slot, and a queue: how long the slot stays empty between two requests. */
import { z } from "zod";
import { summarize } from "../stats.ts";
import { type Bench, checked, inWorld } from "../world/world.ts";
import { chatBody } from "./chat.ts";

export interface HandoverRow {
  way: string;
  requests: number;
  /** From the backend's end of one request to its start of the next, in ms. */
  p50: number | null;
  p99: number | null;
  /** How often two were at the backend at once: must be 0. */
  overlaps: number;
}

const spansSchema = z.array(z.tuple([z.number(), z.number()]));

export async function benchHandover(bench: Bench): Promise<HandoverRow[]> {
  const { requests, connections, delayMs } = bench.plan.handover;
  const rows: HandoverRow[] = [];
  // Without a broker there is no slot to hand over.
  const pairs = bench.kinds.filter(kind => kind.name !== "direct" && kind.name !== "nginx");
  await inWorld(
    bench,
    pairs,
    { agents: 1, maxConcurrency: 1, embeddingBatch: 64 },
    async ({ backendPort, ways, load }) => {
      const spans = async () => {
        const response = await fetch(`http://127.0.0.1:${backendPort}/bench/spans`);
        return spansSchema.parse(await response.json());
      };
      for (const way of ways) {
        bench.note(`handover: ${way.name}`);
        await spans();
        const result = await load.run({
          kind: "requests",
          target: way.target("/v1/chat/completions"),
          body: chatBody({ bench_delay_ms: delayMs }),
          connections,
          requests,
          deadlineMs: 60_000,
          minBytes: 900,
        });
        checked(bench, `handover ${way.name}`, result);
        const done = (await spans()).sort((a, b) => a[0] - b[0]);
        // The last ones find no queue behind them any more, but each still follows one that was waiting.
        const gaps = done.slice(1).map(([start], index) => start - (done[index]?.[1] ?? start));
        const { count, p50, p99 } = summarize(gaps);
        rows.push({
          way: way.name,
          requests: done.length,
          p50: count === 0 ? null : p50,
          p99: count === 0 ? null : p99,
          overlaps: gaps.filter(gap => gap < 0).length,
        });
      }
    },
  );
  for (const row of rows)
    if (row.overlaps > 0) bench.problem(`handover ${row.way}: ${row.overlaps} requests overlapped at one slot`);
  return rows;
}
