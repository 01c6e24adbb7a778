import type { Clock } from "./time.ts";

/** How long entries live after they were set. */
export interface Lifetime {
  readonly clock: Pick<Clock, "now">;
  readonly ms: number;
}

/** A map with a bound: the entry that was set longest ago goes first. Reading an entry does not renew it. */
export class BoundedMap<V> {
  /** The oldest first. */
  readonly #entries = new Map<string, { readonly value: V; readonly until: number }>();

  constructor(
    /** Entries at most. */
    private readonly max: number,
    private readonly lifetime?: Lifetime,
  ) {}

  /** Entries, expired ones that were not read since included. */
  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || !this.#isOver(entry.until)) return entry?.value;
    this.#entries.delete(key);
    return undefined;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** Sets an entry, which lives as long as all do or for `ms`, and makes it the newest. */
  set(key: string, value: V, ms = this.lifetime?.ms ?? 0): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: (this.lifetime?.clock.now() ?? 0) + ms });
    this.#shrink();
  }

  delete(key: string): boolean {
    return this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  /** The entries, the oldest first. */
  entries(): [key: string, value: V][] {
    this.#shrink();
    return [...this.#entries].map(([key, { value }]) => [key, value]);
  }

  /** Drops the entries beyond the bound, and those whose time is over. */
  #shrink(): void {
    for (const [key, { until }] of this.#entries) {
      if (this.#entries.size <= this.max && !this.#isOver(until)) return;
      this.#entries.delete(key);
    }
  }

  #isOver(until: number): boolean {
    return this.lifetime !== undefined && this.lifetime.clock.now() >= until;
  }
}
