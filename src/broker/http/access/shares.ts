// No caller takes all of what callers share.
import { NfrxError } from "../../../lib/errors.ts";
import { Quota } from "./quota.ts";

/** The part of the channels, streams, jobs, tickets and bytes of request bodies that one caller may have at once. */
export const CALLER_SHARE = 0.5;

/** One caller's share of `max`. */
export function shareOf(max: number): number {
  return Math.max(1, Math.floor(max * CALLER_SHARE));
}

/** Counts what callers have of something of which there is so much at once, each its share. */
export class Shares {
  readonly #quota: Quota;

  constructor(
    max: number,
    /** The name of the things that are counted, in the plural, for the error. */
    private readonly what: string,
    share = shareOf(max),
  ) {
    this.#quota = new Quota(max, share);
  }

  /** How much all of them have. */
  get size(): number {
    return this.#quota.used;
  }

  /** Takes one; the function gives it back. Throws `overloaded` when there is none, `limit_exceeded` when the caller has its share. */
  take(caller: string): () => void {
    const holders = [caller];
    const exceeded = this.#quota.exceeded(1, holders);
    if (exceeded === "limit") throw new NfrxError("overloaded", `too many ${this.what}`, AGAIN);
    if (exceeded === "share") {
      const message = `too many ${this.what} of this caller: at most ${this.#quota.share} at once`;
      throw new NfrxError("limit_exceeded", message, AGAIN);
    }
    this.#quota.add(1, holders);
    let mine = true;
    return () => {
      if (mine) this.#quota.add(-1, holders);
      mine = false;
    };
  }
}

const AGAIN = { retryAfterSeconds: 5 };
