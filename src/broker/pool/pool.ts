import { BoundedMap } from "../../lib/bounded-map.ts";
import type { NfrxError } from "../../lib/errors.ts";
import type { Clock } from "../../lib/time.ts";
import type { PoolSettings } from "../../modules/module.ts";
import { LinkStats } from "../../protocol/wire.ts";
import { Candidates } from "./candidates.ts";
import type { Directory, WorkerRecord } from "./directory.ts";
import { DRAINED_IDS_MAX, GONE_SHOWN_MAX, GONE_SHOWN_MS } from "./limits.ts";
import { type Ended, Recent } from "./recent.ts";
import { busy, draining, Refusals } from "./refusals.ts";
import { Registry } from "./registry.ts";
import type { Slot, SlotRequest } from "./slot.ts";
import { exemptSlot, Slots } from "./slots.ts";
import { WaitingRequests } from "./waiting-requests.ts";
import type { Worker } from "./worker.ts";

/**
 * The workers of one module and their queue. Every change that may let a queued request run (a released slot, a worker
 * that connects, changes or leaves) scans the queue immediately, so a runnable request never waits, and a new request
 * can take a free slot without looking at the queue.
 */
export class Pool {
  /** For this folder; other parts of the broker read `directory`. */
  readonly registry: Registry;
  readonly totals = { completed: 0, failed: 0, joined: 0, left: 0 };
  readonly recent: Recent;
  /** Recently departed workers. */
  readonly departed: BoundedMap<{ readonly worker: Worker; readonly wall: number }>;
  readonly #candidates: Candidates;
  readonly #refusals: Refusals;
  readonly #slots: Slots;
  readonly #waiting: WaitingRequests;
  #stopped = false;
  readonly #first = Promise.withResolvers<Worker>();
  readonly #past = new LinkStats();
  readonly #drained = new BoundedMap<true>(DRAINED_IDS_MAX);

  constructor(
    readonly moduleId: string,
    private readonly clock: Clock,
    readonly settings: PoolSettings,
    /** Milliseconds after the start in which agents may still come back. */
    startGraceMs = 0,
  ) {
    this.registry = new Registry(clock, settings.graceMs, () => this.wake());
    const candidates = new Candidates(this.registry, settings);
    const refusals = new Refusals(this.registry, candidates, clock, settings, startGraceMs);
    const slots = new Slots(
      clock,
      () => this.wake(),
      () => this.#waiting,
    );
    this.#candidates = candidates;
    this.#refusals = refusals;
    this.#slots = slots;
    this.#waiting = new WaitingRequests(clock, settings, {
      choose: slotRequest => candidates.choose(slotRequest),
      give: (worker, slotRequest) => slots.give(worker, slotRequest),
      noWorker: slotRequest => refusals.noWorker(slotRequest),
    });
    this.recent = new Recent(clock.now());
    this.departed = new BoundedMap(GONE_SHOWN_MAX, { clock, ms: GONE_SHOWN_MS });
  }

  get directory(): Directory {
    return this.registry;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Counters of all connections, closed ones included. */
  get linkStats(): LinkStats {
    const sum = new LinkStats();
    sum.add(this.#past);
    for (const worker of this.registry.workers) sum.add(worker.upstream.stats);
    return sum;
  }

  get inflight(): number {
    return this.#slots.inflight;
  }

  /** Exchanges open on the connections of all workers. */
  get streams(): number {
    let sum = 0;
    for (const worker of this.registry.workers) sum += worker.upstream.streams;
    return sum;
  }

  /**
   * A slot of the best worker, immediately or when one is released. Rejects with `no_worker` if no worker serves this,
   * `too_large` if only workers on wire v1 do and the body is too large for them, `worker_busy` if the queue is full or
   * the wait too long, `canceled` when the signal aborts, `draining` when the pool has stopped.
   */
  acquire(slotRequest: SlotRequest): Slot | Promise<Slot> {
    if (this.#stopped) throw draining();
    if (slotRequest.exemptFromSlots) return this.#exempt(slotRequest);
    const choice = this.#candidates.choose(slotRequest);
    if (choice.kind === "seat") return this.#slots.give(choice.worker, slotRequest);
    if (choice.kind === "none") throw this.#refusals.noWorker(slotRequest);
    if (slotRequest.ticket === undefined && !slotRequest.returned && this.#waiting.full) {
      if (choice.resting !== undefined) return this.#slots.give(choice.resting, slotRequest);
      if (!this.#waiting.makeRoomFor(slotRequest)) throw busy("every worker is busy and the queue is full");
    }
    return this.#waiting.add(slotRequest);
  }

  /** Up to `max` free slots of different workers, best first; never waits. */
  acquireFree(slotRequest: SlotRequest, max: number): Slot[] {
    const slots: Slot[] = [];
    const excluded = new Set(slotRequest.excluded);
    while (slots.length < max) {
      const choice = this.#candidates.choose({ ...slotRequest, excluded });
      if (choice.kind !== "seat") break;
      excluded.add(choice.worker.connectionId);
      slots.push(this.#slots.give(choice.worker, slotRequest));
    }
    return slots;
  }

  /** A free slot of a worker that is not paused, if there is one; never waits. */
  acquireSpare(slotRequest: SlotRequest): Slot | undefined {
    const choice = this.#candidates.choose(slotRequest);
    return choice.kind === "seat" && !choice.worker.resting ? this.#slots.give(choice.worker, slotRequest) : undefined;
  }

  /** True if a worker that is not excluded can take the request without a slot. */
  canExempt(slotRequest: SlotRequest): boolean {
    return this.#candidates.exempt(slotRequest).length > 0;
  }

  /** Notes that a worker's backend does not have a route. True when another one may have it, now or when it is free. */
  lacksRoute(worker: Worker, slotRequest: SlotRequest): boolean {
    return this.#candidates.lacksRoute(worker, slotRequest);
  }

  /** The model of a request that names none: the one that is set, or the only one that is connected. */
  get usualModel(): string | undefined {
    if (this.settings.defaultModel !== undefined) return this.settings.defaultModel;
    const [only, more] = this.registry.models();
    return more === undefined ? only?.id : undefined;
  }

  /** Refuses a request that waits; does nothing when it does not. */
  cancel(slotRequest: SlotRequest, error: NfrxError): void {
    this.#waiting.cancel(slotRequest, error);
  }

  /** The 1-based place of a waiting request, 0 when it does not wait. */
  position(slotRequest: SlotRequest): number {
    return this.#waiting.position(slotRequest);
  }

  /** The first `max` queued requests, in order. */
  queued(max: number): { slotRequest: SlotRequest; waitingMs: number }[] {
    return this.#waiting.first(max);
  }

  /** Counts a request that has ended. */
  count(ended: Ended, now: number): void {
    this.totals.completed++;
    if (ended.failed) this.totals.failed++;
    this.recent.add(now, ended);
  }

  /** A worker's identifier for operators. */
  handleOf(worker: WorkerRecord): string {
    return worker.id;
  }

  /** True when an operator has drained the workers of this handle, here or not. */
  drains(handle: string): boolean {
    return this.#drained.has(handle);
  }

  /** The workers that an operator means. */
  named(handle: string): Worker[] {
    return this.registry.records().filter(worker => this.handleOf(worker) === handle);
  }

  /**
   * Gives the workers of this handle no new requests, now and when they come back, or gives them some again. What runs
   * goes on; who waits for them waits for others, as when a worker drains of its own will.
   */
  drain(handle: string, drained: boolean): void {
    if (drained) this.#drained.set(handle, true);
    else this.#drained.delete(handle);
    for (const worker of this.named(handle)) {
      this.change(worker, () => {
        worker.drainedByOperator = drained;
      });
    }
  }

  /** The first worker that ever joined, once it has. */
  firstWorker(): Promise<Worker> {
    return this.#first.promise;
  }

  /** Takes a worker in. The older connection of the same id is returned; its requests fail over when it is closed. */
  join(worker: Worker): Worker | undefined {
    worker.drainedByOperator = this.#drained.has(this.handleOf(worker));
    this.departed.delete(worker.id);
    const older = this.registry.add(worker);
    this.totals.joined++;
    if (older !== undefined) {
      older.gone = true;
      this.#past.add(older.upstream.stats);
    }
    this.#first.resolve(worker);
    this.wake();
    return older;
  }

  /** Lets a worker go. */
  leave(worker: Worker): void {
    if (!worker.gone) this.#past.add(worker.upstream.stats);
    worker.gone = true;
    this.totals.left++;
    this.registry.remove(worker);
    if (this.registry.get(worker.id) === undefined) this.departed.set(worker.id, { worker, wall: this.clock.wall() });
    this.wake();
  }

  /** Updates a worker's report. */
  change(worker: Worker, apply: () => void): void {
    const served = worker.serving;
    this.registry.update(worker, apply);
    if (!served && worker.serving) this.#waiting.forgive(worker);
    this.wake();
  }

  /** Starts every queued request that can run, and rejects those that no worker will serve. */
  wake(): void {
    this.#waiting.wake();
  }

  /** Gives out no more slots: queued and later requests get `draining`. */
  stop(): void {
    this.#stopped = true;
    this.#waiting.refuseAll(draining);
  }

  /** True while agents may still be on their way back to a broker that has just started. */
  get filling(): boolean {
    return this.#refusals.filling;
  }

  /** The error for a model or a worker that is not here. */
  absence(label: string | undefined, workerId?: string): NfrxError {
    return this.#refusals.absence(label, workerId);
  }

  /** The models that there are, for an error about an unknown one. */
  get whatIsThere(): string {
    return this.#refusals.whatIsThere;
  }

  close(): void {
    this.registry.close();
  }

  /** Capacity outside the slots. */
  #exempt(slotRequest: SlotRequest): Slot {
    const workers = this.#candidates.exempt(slotRequest);
    const open = workers.filter(({ slotExempt }) => slotExempt < this.settings.maxSlotExempt);
    const worker = open.find(({ serving }) => serving) ?? open[0];
    if (worker !== undefined) return exemptSlot(worker);
    throw workers.length > 0
      ? busy("too many requests are queued for this worker")
      : this.#refusals.noWorker(slotRequest);
  }
}
