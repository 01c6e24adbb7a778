import { NfrxError } from "../../../lib/errors.ts";

/** Bytes that all requests together may use of something, and each holder (a caller, an address) a share of them. */
export class Budget {
  #used = 0;
  readonly #held = new Map<string, number>();

  constructor(
    readonly limit: number,
    /** What a client is told when they are used up. */
    private readonly refusal: string,
    /** Bytes for one holder. */
    private readonly share = limit,
  ) {}

  get used(): number {
    return this.#used;
  }

  /** Takes `bytes` for `holders`. Throws `overloaded` when that is more than is left, or more than the share of one of them. */
  take(bytes: number, holders: readonly string[] = NOBODY): void {
    if (this.#used + bytes > this.limit) throw this.#overloaded(this.refusal);
    for (const holder of holders)
      if ((this.#held.get(holder) ?? 0) + bytes > this.share)
        throw this.#overloaded(`${this.refusal}: this caller has reached its share of ${this.share} bytes`);
    this.#add(bytes, holders);
  }

  /** True when `bytes` can be taken for something that could be done without: half of all stays free for the rest. */
  spares(bytes: number, holders: readonly string[] = NOBODY): boolean {
    return (
      this.#used + bytes <= this.limit / 2 &&
      holders.every(holder => (this.#held.get(holder) ?? 0) + bytes <= this.share / 2)
    );
  }

  give(bytes: number, holders: readonly string[] = NOBODY): void {
    this.#add(-bytes, holders);
  }

  #add(bytes: number, holders: readonly string[]): void {
    this.#used += bytes;
    for (const holder of holders) {
      const held = (this.#held.get(holder) ?? 0) + bytes;
      if (held === 0) this.#held.delete(holder);
      else this.#held.set(holder, held);
    }
  }

  #overloaded(message: string): NfrxError {
    return new NfrxError("overloaded", message, { retryAfterSeconds: 5 });
  }
}

const NOBODY: readonly string[] = [];
