import { NfrxError } from "../../../lib/errors.ts";
import { Quota } from "../access/quota.ts";

/** Bytes that all requests together may use of something, and each holder (a caller, an address) a share of them. */
export class Budget {
  readonly #quota: Quota;

  constructor(
    readonly limit: number,
    /** The error message when the budget is used up. */
    private readonly refusal: string,
    /** Bytes for one holder. */
    share = limit,
  ) {
    this.#quota = new Quota(limit, share);
  }

  get used(): number {
    return this.#quota.used;
  }

  /** Takes `bytes` for `holders`. Throws `overloaded` when that is more than is left, or more than the share of one of them. */
  take(bytes: number, holders: readonly string[] = NOBODY): void {
    const exceeded = this.#quota.exceeded(bytes, holders);
    if (exceeded !== undefined) {
      const share = exceeded === "share" ? `: this caller has reached its share of ${this.#quota.share} bytes` : "";
      throw new NfrxError("overloaded", this.refusal + share, { retryAfterSeconds: 5 });
    }
    this.#quota.add(bytes, holders);
  }

  /** True when `bytes` can be taken for something that could be done without: half of all stays free for the rest. */
  spares(bytes: number, holders: readonly string[] = NOBODY): boolean {
    return this.#quota.exceeded(bytes, holders, 0.5) === undefined;
  }

  give(bytes: number, holders: readonly string[] = NOBODY): void {
    this.#quota.add(-bytes, holders);
  }
}

const NOBODY: readonly string[] = [];
