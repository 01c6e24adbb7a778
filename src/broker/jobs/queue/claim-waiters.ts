import { NfrxError } from "../../../lib/errors.ts";
import { type Claimer, type Job, matches } from "../job.ts";
import { CLAIM_WAITERS_MAX } from "../limits.ts";
import { yieldToEventLoop } from "./yield-to-event-loop.ts";

/** The fields of a job that decide which claims match. */
export type OfferedJob = Pick<Job, "id" | "type" | "workerId" | "workerGroup">;

/** Maximum number of jobs offered to one claim while it queries the store. Beyond it all claims are woken instead. */
const OFFERS_MAX = 64;

/** A waiting claim. */
interface Waiter {
  readonly claimer: Claimer;
  /** Called once: with a job, or with nothing when it has left. */
  readonly done: (job: Job | undefined) => void;
  readonly failed: (error: unknown) => void;
  /** A store query for it is running. */
  asking: boolean;
  leaving: boolean;
  /** Jobs that woke it, or that arrived during the store query. */
  offers: OfferedJob[];
}

/**
 * Waiting claims, in order of arrival. A queued job wakes the first matching claim; the store decides which job it
 * gets. No wake-up is lost: a claim whose store query is running when a job arrives queries again, and a claim that
 * gets another job passes its wake-up on.
 */
export class ClaimWaiters {
  readonly #waiters = new Set<Waiter>();
  #closed = false;
  #quiet: PromiseWithResolvers<void> | undefined;

  constructor(
    /** Asks the store for a job. */
    private readonly claim: (claimer: Claimer) => Promise<Job | undefined>,
  ) {}

  get size(): number {
    return this.#waiters.size;
  }

  /**
   * Waits for a job until `signal` aborts. The store is asked once in any case, even if the signal has aborted before. Throws
   * `overloaded` when too many claims wait.
   */
  wait(claimer: Claimer, signal: AbortSignal): Promise<Job | undefined> {
    if (this.#waiters.size >= CLAIM_WAITERS_MAX)
      throw new NfrxError("overloaded", "too many job workers are waiting", { retryAfterSeconds: 5 });
    if (this.#closed) throw new NfrxError("draining", "the broker is shutting down", { retryAfterSeconds: 10 });
    const { promise, resolve: done, reject: failed } = Promise.withResolvers<Job | undefined>();
    const waiter: Waiter = { claimer, done, failed, asking: false, leaving: false, offers: [] };
    this.#waiters.add(waiter);
    void this.#ask(waiter);
    const leave = (): void => this.#leave(waiter);
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", leave));
  }

  /** Wakes a claim that matches a job that was just queued. */
  offer(job: OfferedJob): void {
    for (const waiter of this.#waiters) {
      if (waiter.leaving || !matches(job, waiter.claimer)) continue;
      if (waiter.offers.length <= OFFERS_MAX) waiter.offers.push(job);
      if (waiter.asking) continue;
      void this.#ask(waiter);
      return;
    }
  }

  /** Ends all waiting claims and accepts no more. Resolves when the last one has finished. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of [...this.#waiters]) this.#leave(waiter);
    while (this.#waiters.size > 0) {
      this.#quiet ??= Promise.withResolvers();
      await this.#quiet.promise;
    }
    await yieldToEventLoop();
  }

  /** A claim with a running query ends with its result. */
  #leave(waiter: Waiter): void {
    waiter.leaving = true;
    if (!waiter.asking) this.#end(waiter, undefined);
  }

  #end(waiter: Waiter, job: Job | undefined): void {
    if (!this.#waiters.delete(waiter)) return;
    waiter.done(job);
    if (this.#waiters.size === 0) this.#quiet?.resolve();
  }

  async #ask(waiter: Waiter): Promise<void> {
    waiter.asking = true;
    // The jobs that woke it are in the store; jobs that arrive during the query may be missed.
    const woken = waiter.offers;
    waiter.offers = [];
    let job: Job | undefined;
    try {
      job = await this.claim(waiter.claimer);
    } catch (error) {
      waiter.failed(error);
      this.#end(waiter, undefined);
      return this.#handOn([...woken, ...waiter.offers]);
    }
    waiter.asking = false;
    if (job === undefined && !waiter.leaving) {
      if (waiter.offers.length > 0) void this.#ask(waiter);
      return;
    }
    this.#end(waiter, job);
    this.#handOn([...woken, ...waiter.offers].filter(({ id }) => id !== job?.id));
  }

  #handOn(offers: readonly OfferedJob[]): void {
    if (offers.length <= OFFERS_MAX) for (const offer of offers) this.offer(offer);
    else for (const waiter of [...this.#waiters]) if (!waiter.asking) void this.#ask(waiter);
  }
}
