/** The closed loop of small requests, by wrk: every connection sends its next request when the response is there. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Workload } from "../options.ts";
import type { Children } from "../world/children.ts";
import type { Result, Target } from "./jobs.ts";
import { Tally } from "./tally.ts";

/** The workloads that need wrk. */
const LOOPS: readonly Workload[] = ["chat", "mcp", "observe"];
/** Seconds until a request without a response counts as an error. */
const TIMEOUT_S = 20;

export interface LoopOptions {
  target: Target;
  body: string;
  connections: number;
  /** Whole ones: wrk knows no others. */
  seconds: number;
  /** When responses, their heads included, have fewer bytes on average, that counts as an error. */
  minBytes: number;
}

/** Why the workloads cannot run here; undefined when they can. */
export function missingTool(only: readonly Workload[]): string | undefined {
  const named = only.filter(name => LOOPS.includes(name));
  if (named.length === 0 || Bun.which("wrk") !== null) return undefined;
  return `wrk is not installed; it sends the requests of ${named.join(", ")}.
Install it: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS), dnf install wrk (Fedora).
Without it: --only with other workloads.`;
}

const outputSchema = z.object({
  requests: z.number(),
  micros: z.number(),
  bytes: z.number(),
  p50: z.number(),
  p99: z.number(),
  max: z.number(),
  errors: z.record(z.string(), z.number()),
});

export async function runLoop(children: Children, options: LoopOptions): Promise<Result> {
  const { target, body, connections, seconds, minBytes } = options;
  const file = join(children.dir, "wrk-body.json");
  writeFileSync(file, body);
  const output = await children.run("wrk", [
    ...["wrk", "--threads", "1", "--connections", `${connections}`, "--duration", `${seconds}s`],
    ...["--timeout", `${TIMEOUT_S}s`, "--script", join(import.meta.dir, "wrk.lua")],
    ...["--header", "Content-Type: application/json"],
    ...(target.token === undefined ? [] : ["--header", `Authorization: Bearer ${target.token}`]),
    ...[`http://127.0.0.1:${target.port}${target.path}`, file],
  ]);
  const { requests, micros, bytes, errors, ...times } = outputSchema.parse(
    JSON.parse(output.trim().split("\n").at(-1) ?? ""),
  );
  const tally = new Tally();
  for (const [kind, count] of Object.entries(errors)) tally.error(`wrk counts errors: ${kind}`, count);
  if (requests > 0 && bytes / requests < minBytes) tally.error(`short responses (${bytes} bytes in ${requests})`);
  tally.answered = requests - (errors["status"] ?? 0);
  if (tally.answered === 0) tally.error("no response");
  const ms = (value: number): number => value / 1e3;
  return tally.result({
    seconds: micros / 1e6,
    perSecond: (tally.answered / micros) * 1e6,
    latency: { count: requests, p50: ms(times.p50), p99: ms(times.p99), max: ms(times.max) },
  });
}
