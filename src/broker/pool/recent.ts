// The last minutes of a module and of a worker, for the state.
import type { Usage } from "../../modules/module.ts";
import type { RecentState } from "../../modules/state.ts";
import { Median } from "./median.ts";
import { Ring } from "./ring.ts";

/** Length of an interval of the recent activity in the state, in milliseconds. */
export const RECENT_INTERVAL_MS = 5_000;
/** Number of intervals of the recent activity in the state. */
export const RECENT_INTERVALS = 60;
/** Number of intervals for a worker's rates. */
const RATE_INTERVALS = 12;

/** How one request went. */
export interface Ended {
  failed: boolean;
  usage: Usage | undefined;
  embeddings: number;
  firstByteMs: number | undefined;
}

const REQUESTS = 0;
const FAILED = 1;
const TOKENS_IN = 2;
const TOKENS_OUT = 3;
const EMBEDDINGS = 4;
const FIRST_BYTE = 5;

/** A module's activity in the last five minutes, in a table of fixed size. */
export class Recent {
  readonly #ring: Ring;
  readonly #firstBytes = new Median();

  constructor(now: number) {
    this.#ring = new Ring(6, RECENT_INTERVALS, RECENT_INTERVAL_MS, now);
  }

  /** Counts a request that has ended. */
  add(now: number, { failed, usage, embeddings, firstByteMs }: Ended): void {
    this.#turn(now);
    this.#ring.add(REQUESTS, 1);
    if (failed) this.#ring.add(FAILED, 1);
    if (embeddings > 0) this.#ring.add(EMBEDDINGS, embeddings);
    if (firstByteMs !== undefined) this.#firstBytes.add(firstByteMs);
    if (usage === undefined) return;
    this.#ring.add(TOKENS_IN, usage.in);
    this.#ring.add(TOKENS_OUT, usage.out);
  }

  /** The activity for the state; `wall` is the wall clock time at `now`. */
  view(now: number, wall: number): RecentState {
    this.#turn(now);
    const ring = this.#ring;
    return {
      interval_ms: RECENT_INTERVAL_MS,
      until: new Date(wall - (now - ring.end)).toISOString(),
      requests: ring.read(REQUESTS),
      failed: ring.read(FAILED),
      input_tokens: ring.read(TOKENS_IN),
      output_tokens: ring.read(TOKENS_OUT),
      embeddings: ring.read(EMBEDDINGS),
      first_byte_ms: ring.read(FIRST_BYTE).map(ms => (ms === 0 ? null : ms)),
    };
  }

  /** Ends the current interval if `now` is after it. */
  #turn(now: number): void {
    if (this.#ring.isCurrent(now)) return;
    this.#ring.add(FIRST_BYTE, this.#firstBytes.take() ?? 0);
    this.#ring.advance(now);
  }
}

/** A worker's activity in the last minute. */
export class Rates {
  readonly #ring: Ring;

  constructor(private readonly since: number) {
    this.#ring = new Ring(3, RATE_INTERVALS, RECENT_INTERVAL_MS, since);
  }

  add(now: number, usage: Usage | undefined, embeddings: number): void {
    const ring = this.#ring;
    ring.advance(now);
    if (embeddings > 0) ring.add(2, embeddings);
    if (usage === undefined) return;
    ring.add(0, usage.in);
    ring.add(1, usage.out);
  }

  /** By the second, over the last minute or since the worker connected, but not over less than one interval. */
  view(now: number): { input_tokens_per_s: number; output_tokens_per_s: number; embeddings_per_s: number } {
    const ring = this.#ring;
    ring.advance(now);
    const covered = now - ring.end + RATE_INTERVALS * RECENT_INTERVAL_MS;
    const seconds = Math.min(covered, Math.max(now - this.since, RECENT_INTERVAL_MS)) / 1000;
    const rate = (column: number): number => Math.round((ring.sum(column) / seconds) * 100) / 100;
    return { input_tokens_per_s: rate(0), output_tokens_per_s: rate(1), embeddings_per_s: rate(2) };
  }
}
