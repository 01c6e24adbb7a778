import type { Clock } from "../../lib/time.ts";

/** Remembers the ids of what has ended, and how: some, and for some time. */
export class EndedIds<T> {
  /** The oldest first. */
  readonly #known = new Map<string, { value: T; at: number }>();

  constructor(
    private readonly clock: Clock,
    private readonly most: number,
    private readonly ms: number,
  ) {}

  get size(): number {
    return this.#known.size;
  }

  add(id: string, value: T): void {
    const now = this.clock.now();
    this.#known.set(id, { value, at: now });
    for (const [old, { at }] of this.#known) {
      if (this.#known.size <= this.most && now - at < this.ms) break;
      this.#known.delete(old);
    }
  }

  get(id: string): T | undefined {
    const found = this.#known.get(id);
    return found !== undefined && this.clock.now() - found.at < this.ms ? found.value : undefined;
  }
}
