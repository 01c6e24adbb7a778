import type { Clock } from "./time.ts";

/** How long entries live after they were set. */
export interface Lifetime {
  readonly clock: Pick<Clock, "now">;
  readonly ms: number;
}

/** A map with a bound: the entry that was set longest ago goes first. Reading an entry does not renew it. */
export class BoundedMap<V> {
  /** The oldest first. */
  readonly #entries = new Map<string, { readonly value: V; readonly at: number }>();

  constructor(
    /** Entries at most. */
    private readonly max: number,
    private readonly lifetime?: Lifetime,
  ) {}

  /** Entries, with those whose time is over and that nobody has asked for since. */
  get size(): number {
    return this.#entries.size;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || !this.#isOver(entry.at)) return entry?.value;
    this.#entries.delete(key);
    return undefined;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** Sets an entry and makes it the newest. */
  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, { value, at: this.lifetime?.clock.now() ?? 0 });
    this.#shrink();
  }

  delete(key: string): boolean {
    return this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }

  /** What is in the map, the oldest first. */
  entries(): [key: string, value: V][] {
    this.#shrink();
    return [...this.#entries].map(([key, { value }]) => [key, value]);
  }

  /** Drops the entries beyond the bound, and those whose time is over. */
  #shrink(): void {
    for (const [key, { at }] of this.#entries) {
      if (this.#entries.size <= this.max && !this.#isOver(at)) return;
      this.#entries.delete(key);
    }
  }

  #isOver(at: number): boolean {
    return this.lifetime !== undefined && this.lifetime.clock.now() - at >= this.lifetime.ms;
  }
}
