import { NfrxError } from "../../lib/errors.ts";
import { type Claimer, type Job, suits } from "./job.ts";
import { CLAIMERS_MAX } from "./limits.ts";
import { turn } from "./turn.ts";

/** As much of a job as decides who may have it. */
export type Offer = Pick<Job, "id" | "type" | "workerId" | "workerGroup">;

/** Offers that one claimer keeps while it asks the store; beyond them everybody is woken instead. */
const OFFERS_MAX = 64;

/** Somebody who waits for a job. */
interface Place {
  readonly claimer: Claimer;
  /** Called once: with a job, or with nothing when it has left. */
  readonly done: (job: Job | undefined) => void;
  readonly failed: (error: unknown) => void;
  /** The store is being asked on its behalf. */
  asking: boolean;
  leaving: boolean;
  /** Jobs that it was woken for, or that came while the store was being asked. */
  offers: Offer[];
}

/**
 * Who waits for jobs, in order of arrival. A job that has been queued wakes the first who waits and may have it, and
 * nobody else; the store decides what that one then gets. No wakeup is lost: whoever is asking the store when a job comes
 * asks again, and who gets another job than the one it was woken for hands the wakeup on.
 */
export class Claimers {
  readonly #places = new Set<Place>();
  #closed = false;
  #quiet: PromiseWithResolvers<void> | undefined;

  constructor(
    /** Asks the store for a job. */
    private readonly claim: (claimer: Claimer) => Promise<Job | undefined>,
  ) {}

  get size(): number {
    return this.#places.size;
  }

  /** Waits for a job until the function that `hold` gets is called. Throws `overloaded` when too many wait. */
  wait(claimer: Claimer, hold: (leave: () => void) => void): Promise<Job | undefined> {
    if (this.#places.size >= CLAIMERS_MAX)
      throw new NfrxError("overloaded", "too many workers wait for jobs", { retryAfterSeconds: 5 });
    if (this.#closed) throw new NfrxError("draining", "the broker takes no more work", { retryAfterSeconds: 10 });
    const { promise, resolve: done, reject: failed } = Promise.withResolvers<Job | undefined>();
    const place: Place = { claimer, done, failed, asking: false, leaving: false, offers: [] };
    this.#places.add(place);
    void this.#ask(place);
    hold(() => this.#leave(place));
    return promise;
  }

  /** Wakes who may have a job that has just been queued. */
  offer(job: Offer): void {
    for (const place of this.#places) {
      if (place.leaving || !suits(job, place.claimer)) continue;
      if (place.offers.length <= OFFERS_MAX) place.offers.push(job);
      if (place.asking) continue;
      void this.#ask(place);
      return;
    }
  }

  /** Sends everybody away, and takes nobody more. Ends when the last has gone, and what it got has been dealt with. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const place of [...this.#places]) this.#leave(place);
    while (this.#places.size > 0) {
      this.#quiet ??= Promise.withResolvers();
      await this.#quiet.promise;
    }
    await turn();
  }

  /** Who is asking leaves with the answer. */
  #leave(place: Place): void {
    place.leaving = true;
    if (!place.asking) this.#end(place, undefined);
  }

  #end(place: Place, job: Job | undefined): void {
    if (!this.#places.delete(place)) return;
    place.done(job);
    if (this.#places.size === 0) this.#quiet?.resolve();
  }

  async #ask(place: Place): Promise<void> {
    place.asking = true;
    // What it was woken for is in the store by now; what comes while the store is asked may not have been seen.
    const woken = place.offers;
    place.offers = [];
    let job: Job | undefined;
    try {
      job = await this.claim(place.claimer);
    } catch (error) {
      place.failed(error);
      this.#end(place, undefined);
      return this.#handOn([...woken, ...place.offers]);
    }
    place.asking = false;
    if (job === undefined && !place.leaving) {
      if (place.offers.length > 0) void this.#ask(place);
      return;
    }
    this.#end(place, job);
    this.#handOn([...woken, ...place.offers].filter(({ id }) => id !== job?.id));
  }

  #handOn(offers: readonly Offer[]): void {
    if (offers.length <= OFFERS_MAX) for (const offer of offers) this.offer(offer);
    else for (const place of [...this.#places]) if (!place.asking) void this.#ask(place);
  }
}
