/** One embeddings request with 2,048 inputs, four workers. */
import { z } from "zod";
import { median, minus, over } from "../stats.ts";
import type { Way } from "../world/way.ts";
import { type Bench, checked, inWorld } from "../world/world.ts";

export interface EmbedRow {
  way: string;
  inputs: number;
  p50: number | null;
  max: number | null;
  /** Against direct: below 1 the workers' parallelism outweighs the hop. */
  ratio: number | null;
  added: number | null;
}

const answerSchema = z.object({ data: z.array(z.object({ index: z.number(), embedding: z.array(z.number()) })) });

export async function benchEmbed(bench: Bench): Promise<EmbedRow[]> {
  const { inputs, agents, batch, requests } = bench.plan.embed;
  const input = Array.from({ length: inputs }, (_, index) => `a short text to turn into a vector, number ${index}`);
  const body = JSON.stringify({ model: "bench-model", input });
  const rows: EmbedRow[] = [];
  await inWorld(bench, bench.kinds, { agents, maxConcurrency: 16, embeddingBatch: batch }, async world => {
    const times = new Map<Way, { p50: number; max: number }[]>(world.ways.map(way => [way, []]));
    for (const way of world.ways) await verify(bench, way, body, inputs);
    const turns = Math.min(3, requests);
    for (let turn = 1; turn <= turns; turn++) {
      bench.note(`embed: ${inputs} inputs, turn ${turn} of ${turns}`);
      for (const [way, results] of times) {
        const result = await world.load.run({
          kind: "requests",
          target: way.target("/v1/embeddings"),
          body,
          connections: 1,
          requests: Math.ceil(requests / turns),
          deadlineMs: 30_000,
          minBytes: inputs * 50,
        });
        checked(bench, `embed ${way.name}`, result);
        results.push({ p50: result.latency?.p50 ?? Number.NaN, max: result.latency?.max ?? Number.NaN });
      }
    }
    for (const [way, results] of times) {
      const p50 = median(results.map(one => one.p50));
      const max = results.map(one => one.max).filter(Number.isFinite);
      rows.push({
        way: way.name,
        inputs,
        p50,
        max: max.length === 0 ? null : Math.max(...max),
        ratio: null,
        added: null,
      });
    }
  });
  const base = rows.find(row => row.way === "direct")?.p50;
  return rows.map(row =>
    row.way === "direct" ? row : { ...row, ratio: over(row.p50, base), added: minus(row.p50, base) },
  );
}

/** Before time is measured: the answer must be whole, in order, and each vector must belong to its input. */
async function verify(bench: Bench, way: Way, body: string, inputs: number): Promise<void> {
  const target = way.target("/v1/embeddings");
  try {
    const response = await fetch(`http://127.0.0.1:${target.port}${target.path}`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", authorization: `Bearer ${target.token ?? ""}` },
      signal: AbortSignal.timeout(20_000),
    });
    if (response.status !== 200) throw new Error(`status ${response.status}: ${(await response.text()).slice(0, 200)}`);
    const { data } = answerSchema.parse(await response.json());
    const wrong = data.findIndex(({ index, embedding }, place) => index !== place || embedding[0] !== place);
    if (data.length !== inputs) throw new Error(`${data.length} vectors for ${inputs} inputs`);
    if (wrong >= 0) throw new Error(`vector ${wrong} is not that of input ${wrong}`);
  } catch (error) {
    bench.problem(`embed ${way.name}: ${error instanceof Error ? error.message : error}`);
  }
}
