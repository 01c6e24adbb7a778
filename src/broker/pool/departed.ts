import type { Clock } from "../../lib/time.ts";
import type { Worker } from "./worker.ts";

/** Maximum number of departed workers shown per module; the oldest is dropped. */
export const GONE_SHOWN_MAX = 20;
/** Time in milliseconds for which a departed worker is shown. */
export const GONE_SHOWN_MS = 300_000;

/** The workers that left a moment ago: an operator sees who is missing, and what was wrong with it. */
export class Departed {
  /** By id; who left first comes first. */
  readonly #workers = new Map<string, { worker: Worker; at: number; wall: number }>();

  constructor(private readonly clock: Clock) {}

  add(worker: Worker): void {
    this.#workers.delete(worker.id);
    this.#workers.set(worker.id, { worker, at: this.clock.now(), wall: this.clock.wall() });
    const [oldest] = this.#workers.keys();
    if (this.#workers.size > GONE_SHOWN_MAX && oldest !== undefined) this.#workers.delete(oldest);
  }

  /** One of this id is back. */
  back(id: string): void {
    this.#workers.delete(id);
  }

  /** Who is gone, and since when (in milliseconds since 1970). */
  list(): { worker: Worker; wall: number }[] {
    const now = this.clock.now();
    for (const [id, { at }] of this.#workers) if (now - at >= GONE_SHOWN_MS) this.#workers.delete(id);
    return [...this.#workers.values()];
  }
}
