// The leases of a store's claims.
import type { Clock } from "../../../lib/time.ts";
import { type Claim, isHeld, type Job } from "../job.ts";
import { Deadlines } from "./deadlines.ts";

/** Interval in milliseconds at which an expired lease is reported again, if the lease itself is not shorter. */
const AGAIN_MS = 10_000;

export class Leases {
  readonly #claims = new Map<string, Claim>();
  readonly #due: Deadlines;

  /** Calls `onLapse` when a lease has run out, and again as long as nothing comes of it. */
  constructor(clock: Clock, onLapse: (id: string, claimId: string) => void) {
    this.#due = new Deadlines(clock, id => {
      const claim = this.#claims.get(id);
      if (claim === undefined) return;
      this.#due.set(id, Math.min(claim.leaseMs, AGAIN_MS));
      onLapse(id, claim.id);
    });
  }

  /** Jobs that are held. */
  get size(): number {
    return this.#claims.size;
  }

  /** A job has changed: its lease starts anew when it is held, and ends when it is not. */
  changed(job: Job): void {
    const { id, claim } = job;
    if (claim === undefined || !isHeld(job)) this.#end(id);
    else {
      this.#claims.set(id, claim);
      this.#due.set(id, claim.leaseMs);
    }
  }

  /** Starts a claim's lease anew; false when the claim has ended. */
  renew(id: string, claimId: string): boolean {
    const claim = this.#claims.get(id);
    if (claim?.id !== claimId) return false;
    this.#due.set(id, claim.leaseMs);
    return true;
  }

  /** These jobs are held and no others; a claim that is known keeps the lease it has. */
  settle(held: readonly Job[]): void {
    const ids = new Set(held.map(({ id }) => id));
    for (const id of this.#claims.keys()) if (!ids.has(id)) this.#end(id);
    for (const job of held) if (this.#claims.get(job.id)?.id !== job.claim?.id) this.changed(job);
  }

  close(): void {
    this.#due.close();
  }

  #end(id: string): void {
    this.#claims.delete(id);
    this.#due.delete(id);
  }
}
