import { NfrxError } from "../../../lib/errors.ts";
import type { Row } from "../../../lib/sqlite.ts";
import { shareOf } from "../../http/access/shares.ts";

/** How much a store holds. */
export interface JobLimits {
  /** Jobs, those that have ended included. */
  maxJobs: number;
  /** Bytes of its pages; beyond them no job is added, while those that are there go on. */
  maxBytes: number;
}

/** Approximate size of a job without its metadata, in bytes. */
const JOB_BYTES = 1024;

/** A job's size in its caller's share. */
export function bytesOf({ metadata }: { readonly metadata: string }): number {
  return JOB_BYTES + metadata.length;
}

/**
 * Each caller's share of a store's jobs and bytes. Not a Quota: the store reports the usage, and a caller's finished
 * jobs make room.
 */
export class JobShares {
  #used = new Map<string, { jobs: number; bytes: number }>();
  readonly #jobs: number;
  readonly #bytes: number;

  constructor({ maxJobs, maxBytes }: JobLimits) {
    this.#jobs = shareOf(maxJobs);
    this.#bytes = shareOf(maxBytes);
  }

  /** True when the caller may have one more job of so many bytes. */
  hasRoom(caller: string, bytes: number): boolean {
    const used = this.#used.get(caller) ?? NOTHING;
    return used.jobs < this.#jobs && used.bytes + bytes <= this.#bytes;
  }

  /** The error for a caller that has its share. */
  refusal(): NfrxError {
    const message = `this caller has reached its share of the jobs queue: ${this.#jobs} jobs or ${this.#bytes} bytes`;
    return new NfrxError("limit_exceeded", message, { retryAfterSeconds: 10 });
  }

  added(caller: string, bytes: number): void {
    this.#change(caller, 1, bytes);
  }

  /** Rows of jobs have been deleted. */
  deleted(rows: readonly Row[]): void {
    for (const row of rows) this.#change(String(row["caller"]), -1, -Number(row["bytes"]));
  }

  /** Recounts from the store. */
  settle(rows: readonly Row[]): void {
    this.#used = new Map(
      rows.map(row => [String(row["caller"]), { jobs: Number(row["jobs"]), bytes: Number(row["bytes"]) }]),
    );
  }

  #change(caller: string, jobs: number, bytes: number): void {
    const used = this.#used.get(caller) ?? NOTHING;
    const now = { jobs: used.jobs + jobs, bytes: used.bytes + bytes };
    if (now.jobs <= 0) this.#used.delete(caller);
    else this.#used.set(caller, now);
  }
}

const NOTHING = { jobs: 0, bytes: 0 };
