import type { Clock } from "../../../lib/time.ts";
import { CLIENT_UNWATCHED_MS } from "../limits.ts";
import { Deadlines } from "../store/deadlines.ts";
import type { LiveJob } from "../store/store.ts";

/** Which clients are still interested in their jobs: they listen, or they ask now and then. */
export class ClientLiveness {
  /** Clients that do not listen: how long each may be quiet, and when that is over. */
  readonly #ttls = new Map<string, number>();
  readonly #absent: Deadlines;
  /** The jobs with open event streams. */
  readonly #listening = new Set<string>();
  #closed = false;

  constructor(
    clock: Clock,
    /** Time limit for an inactive client; 0 disables it, except for jobs with cancel_when_unwatched. */
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

  /** Records activity of the client of an unfinished job. */
  seen({ id, cancelWhenUnwatched }: LiveJob): void {
    const ttlMs = cancelWhenUnwatched ? Math.min(CLIENT_UNWATCHED_MS, this.ttlMs || CLIENT_UNWATCHED_MS) : this.ttlMs;
    if (ttlMs === 0 || this.#closed) return;
    this.#ttls.set(id, ttlMs);
    this.#wait(id);
  }

  /** The same of a job that may have ended. */
  seenIfKnown(id: string): void {
    if (this.#absent.has(id)) this.#wait(id);
  }

  /** Its client gets as much time once more. */
  again(id: string): void {
    this.#wait(id);
  }

  listens(id: string): void {
    this.#absent.delete(id);
    this.#listening.add(id);
  }

  /** The last event stream was closed. */
  gone(id: string): void {
    if (this.#listening.delete(id)) this.#wait(id);
  }

  /** The job has ended: its client is no longer required. */
  ended(id: string): void {
    this.#ttls.delete(id);
    this.#absent.delete(id);
    this.#listening.delete(id);
  }

  close(): void {
    this.#closed = true;
    this.#absent.close();
  }

  #wait(id: string): void {
    const ttlMs = this.#ttls.get(id);
    if (ttlMs !== undefined && !this.#closed && !this.#listening.has(id)) this.#absent.set(id, ttlMs);
  }
}
