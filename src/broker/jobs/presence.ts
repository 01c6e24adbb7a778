import type { Clock } from "../../lib/time.ts";
import { Deadlines } from "./deadlines.ts";

/** Which clients are still interested in their jobs: they listen, or they ask now and then. */
export class Presence {
  readonly #absent: Deadlines;
  /** The jobs that somebody listens to. */
  readonly #listening = new Set<string>();
  #closed = false;

  constructor(
    clock: Clock,
    /** How long a client may be quiet; 0 is for ever. */
    private readonly ttlMs: number,
    private readonly onGone: (id: string) => void,
  ) {
    this.#absent = new Deadlines(clock, id => {
      if (!this.#listening.has(id)) this.onGone(id);
    });
  }

  /** Jobs that are watched. */
  get size(): number {
    return this.#absent.size + this.#listening.size;
  }

  /** A job that has not ended, and whose client has just been heard of. */
  heard(id: string): void {
    if (this.ttlMs > 0 && !this.#closed && !this.#listening.has(id)) this.#absent.set(id, this.ttlMs);
  }

  /** The same of a job that may have ended. */
  heardIfKnown(id: string): void {
    if (this.#absent.has(id)) this.heard(id);
  }

  listens(id: string): void {
    this.#absent.delete(id);
    this.#listening.add(id);
  }

  /** Nobody listens any more. */
  left(id: string): void {
    if (this.#listening.delete(id)) this.heard(id);
  }

  /** The job has ended: nobody needs to be there for it. */
  ended(id: string): void {
    this.#absent.delete(id);
    this.#listening.delete(id);
  }

  close(): void {
    this.#closed = true;
    this.#absent.close();
  }
}
