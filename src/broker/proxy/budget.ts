import { NfrxError } from "../../lib/errors.ts";

/** Bytes that all requests together may use of something. */
export class Budget {
  #used = 0;

  constructor(
    readonly limit: number,
    /** What a client is told when they are used up. */
    private readonly refusal: string,
  ) {}

  get used(): number {
    return this.#used;
  }

  /** Takes `bytes`. Throws `overloaded` when that is more than is left. */
  take(bytes: number): void {
    if (this.#used + bytes > this.limit) throw new NfrxError("overloaded", this.refusal, { retryAfterSeconds: 5 });
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}
