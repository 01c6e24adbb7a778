import { MCP_METHODS } from "../lib/mcp-methods.ts";
import type { Meters, Numbers } from "../lib/series.ts";

/** A call as it is counted at its end. */
export interface CountedCall {
  method: string;
  /** A server's refusal is a response; the relay's is not. */
  outcome: "succeeded" | "failed" | "canceled" | "refused";
}

/** Counts the calls of a relay, once metrics are enabled. */
export class RelayCounts {
  #calls: Numbers<"method" | "outcome"> | undefined;

  declare(meters: Meters, sessions: () => number): void {
    meters
      .gauge("nfrx_worker_sessions", "MCP sessions of the relay. HTTP providers keep their own, which are not counted.")
      .read(set => set({}, sessions()));
    this.#calls = meters.counter(
      "nfrx_worker_calls_total",
      "MCP calls by method and outcome: succeeded, failed, canceled (by the caller), refused (by the relay).",
      ["method", "outcome"],
    );
  }

  ended({ method, outcome }: CountedCall): void {
    // Callers may make methods up.
    const name = MCP_METHODS.has(method) ? method : "other";
    if (this.#calls !== undefined) this.#calls.cell({ method: name, outcome }).value++;
  }
}
