import type { Clock } from "../../lib/time.ts";

/** Maximum number of remembered departed models and worker IDs; the oldest is dropped. */
export const SEEN_MAX = 10_000;
/** Time in milliseconds for which a departed model or worker is expected to return. */
export const SEEN_MS = 3_600_000;

/** Names of what was here a while ago and is expected back. */
export class SeenRecently {
  /** When each left; the one that left first comes first. */
  readonly #left = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  /** One of this name has left. */
  add(name: string): void {
    this.#left.delete(name);
    this.#left.set(name, this.clock.now());
    if (this.#left.size <= SEEN_MAX) return;
    const [oldest] = this.#left.keys();
    if (oldest !== undefined) this.#left.delete(oldest);
  }

  has(name: string): boolean {
    const at = this.#left.get(name);
    return at !== undefined && this.clock.now() - at < SEEN_MS;
  }
}
