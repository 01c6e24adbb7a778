/** One workload's world: a backend of its own, every way in front of it, and load generators. */
import { z } from "zod";
import { now } from "../clock.ts";
import { readLines } from "../lines.ts";
import { checkClock, LoadDriver } from "../load/driver.ts";
import type { Result } from "../load/jobs.ts";
import type { Plan } from "../plan.ts";
import type { Children } from "./children.ts";
import type { Setup, Way, WayKind } from "./way.ts";

/** What the workloads share: where to start things, how much to do, and where to complain. */
export interface Bench {
  children: Children;
  plan: Plan;
  kinds: readonly WayKind[];
  /** One line of progress. */
  note(text: string): void;
  /** Something failed or answered wrongly: it is shown, and the exit code is 1. */
  problem(text: string): void;
}

export interface World {
  backendPort: number;
  ways: readonly Way[];
  load: LoadDriver;
}

/** The setup of a pair that never makes a request wait. */
export const ROOMY: Setup = { agents: 1, maxConcurrency: 1024, embeddingBatch: 64 };

const backendHello = z.object({ port: z.number(), hello: z.number() });

/** Builds a world of the given ways, runs `work` in it and takes it down. A way that does not start is a problem, not the end. */
export async function inWorld(
  bench: Bench,
  kinds: readonly WayKind[],
  setup: Setup,
  work: (world: World) => Promise<void>,
): Promise<void> {
  try {
    const backend = await startBackend(bench.children);
    const ways: Way[] = [];
    for (const kind of kinds) {
      try {
        ways.push(await kind.start(bench.children, backend.port, setup));
      } catch (error) {
        bench.problem(`${kind.name} does not start: ${error instanceof Error ? error.message : error}`);
      }
    }
    const load = await LoadDriver.start(bench.children);
    await work({ backendPort: backend.port, ways, load });
    for (const child of ways.flatMap(way => way.parts.flatMap(part => part.children))) {
      if (!child.alive()) bench.problem(`${child.name} ended by itself:\n${child.log()}`);
    }
  } finally {
    // All of it, also what a way that failed half-way has left.
    await bench.children.stopAll();
  }
}

async function startBackend(children: Children): Promise<{ port: number }> {
  const before = now();
  const child = children.talk("backend", "world/backend.ts");
  const first = Promise.withResolvers<z.infer<typeof backendHello>>();
  readLines(child.lines, line => first.resolve(backendHello.parse(JSON.parse(line)))).finally(() =>
    first.reject(new Error(`the backend ended: ${child.log()}`)),
  );
  const { port, hello } = await first.promise;
  checkClock(before, hello, now());
  return { port };
}

/** Reports the errors of a result; returns the result. */
export function checked(bench: Bench, what: string, result: Result): Result {
  if (result.errors > 0) {
    const reasons = Object.entries(result.reasons).map(([reason, count]) => `${reason} ×${count}`);
    bench.problem(`${what}: ${result.errors} errors (${reasons.join(", ")})`);
  }
  return result;
}
