/** Counts what went right and wrong in one job. */

import { summarize } from "../stats.ts";
import type { Result } from "./jobs.ts";

/** After so many errors a job gives up: the figures mean nothing any more. */
const ERROR_LIMIT = 500;
const REASONS_LIMIT = 12;

export class Tally {
  answered = 0;
  errors = 0;
  #reasons = new Map<string, number>();

  error(reason: string, count = 1): void {
    if (count === 0) return;
    this.errors += count;
    const known = this.#reasons.has(reason) || this.#reasons.size < REASONS_LIMIT;
    const key = known ? reason : "other";
    this.#reasons.set(key, (this.#reasons.get(key) ?? 0) + count);
  }

  get hopeless(): boolean {
    return this.errors >= ERROR_LIMIT;
  }

  result(more: Partial<Result> = {}): Result {
    return { answered: this.answered, errors: this.errors, reasons: Object.fromEntries(this.#reasons), ...more };
  }
}

/** The summary as it travels in JSON, which has no NaN. */
export function figures(samples: readonly number[]): NonNullable<Result["latency"]> {
  const { count, p50, p99, max } = summarize(samples);
  return count === 0 ? { count, p50: null, p99: null, max: null } : { count, p50, p99, max };
}
