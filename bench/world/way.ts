/** A way from the load generator to the backend. */

import type { Target } from "../load/jobs.ts";
import type { Child, Children } from "./children.ts";
import { family } from "./proc.ts";

/** A part of a way whose cost is counted: nginx, or a pair's broker and agent (all agents together). */
export interface Part {
  name: "nginx" | "broker" | "agent";
  children: readonly Child[];
  /** Milliseconds from its start until it was of use. */
  readyMs?: number;
}

export interface Way {
  name: string;
  parts: readonly Part[];
  /** `path` as the backend knows it, for example `/v1/embeddings`. */
  target(path: string): Target;
}

/** Settings that differ between workloads. */
export interface Setup {
  agents: number;
  maxConcurrency: number;
  embeddingBatch: number;
}

/** Starts one way in front of a backend. */
export interface WayKind {
  name: string;
  start(children: Children, backendPort: number, setup: Setup): Promise<Way>;
}

export const pidsOf = (part: Part): number[] => part.children.flatMap(child => family(child.pid));

export const direct: WayKind = {
  name: "direct",
  start: async (_children, port) => ({ name: "direct", parts: [], target: path => ({ port, path }) }),
};

/** A port that was free a moment ago. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const port = listener.port;
  listener.stop(true);
  return port;
}

/** Short, for the time until a program is ready is measured with it. */
const POLL_MS = 2;

/** Asks again and again, at most so long; a child that has ended ends the wait. Returns how long it took, in milliseconds. */
export async function until(
  what: string,
  children: readonly Child[],
  test: () => Promise<boolean>,
  ms = 20_000,
): Promise<number> {
  const began = performance.now();
  while (!(await test().catch(() => false))) {
    const dead = children.find(child => !child.alive());
    if (dead !== undefined) throw new Error(`${dead.name} ended before ${what}:\n${dead.log()}`);
    if (performance.now() > began + ms) {
      throw new Error(`not in time: ${what}\n${children.map(child => `${child.name}: ${child.log()}`).join("\n")}`);
    }
    await Bun.sleep(POLL_MS);
  }
  return performance.now() - began;
}
