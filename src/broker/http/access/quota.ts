/** So much of something, of which each holder (a caller, an address) may have a share. */
export class Quota {
  #used = 0;
  readonly #held = new Map<string, number>();

  constructor(
    readonly limit: number,
    readonly share = limit,
  ) {}

  get used(): number {
    return this.#used;
  }

  /**
   * The limit that forbids to take this much more; `part` of the limit and of the shares counts. Undefined if none
   * does.
   */
  exceeded(amount: number, holders: readonly string[], part = 1): "limit" | "share" | undefined {
    if (this.#used + amount > this.limit * part) return "limit";
    const fits = holders.every(holder => (this.#held.get(holder) ?? 0) + amount <= this.share * part);
    return fits ? undefined : "share";
  }

  /** Takes, or with a negative amount gives back. */
  add(amount: number, holders: readonly string[]): void {
    this.#used += amount;
    for (const holder of holders) {
      const held = (this.#held.get(holder) ?? 0) + amount;
      if (held === 0) this.#held.delete(holder);
      else this.#held.set(holder, held);
    }
  }
}
