import { BoundedMap } from "../../lib/bounded-map.ts";
import { NfrxError } from "../../lib/errors.ts";
import type { Clock } from "../../lib/time.ts";
import type { Endpoint, PoolSettings } from "../../modules/module.ts";
import { V1_REQUEST_BODY } from "../../protocol/limits.ts";
import { LinkStats } from "../../protocol/wire.ts";
import { mayHave } from "./backend-routes.ts";
import type { HealthVerdict } from "./health.ts";
import { DRAINED_IDS_MAX, GONE_SHOWN_MAX, GONE_SHOWN_MS } from "./limits.ts";
import { FairQueue, type QueueTicket, type Waiting } from "./queue.ts";
import { type Ended, Recent } from "./recent.ts";
import { Registry } from "./registry.ts";
import { type Choice, choose, type Offer, SCORE_ALIAS } from "./schedule.ts";
import type { Worker } from "./worker.ts";

/** What a request wants of a pool. */
export interface SlotRequest {
  /** The model, or undefined when any worker will do. */
  label: string | undefined;
  /** The route that its backend must have, and whether another quantization will do. */
  endpoint?: RequestedEndpoint;
  /** Pins the request to one worker. */
  workerId?: string | undefined;
  /** The request is let in beside the seats: it asks about work that a worker already has, or only listens. */
  exemptFromSlots?: boolean;
  /** Work that a worker already has may need this visit to end: it is let in while that drains too. */
  servesDuringDrain?: boolean;
  /** The request's body is larger than wire v1 carries, or may be: a client need not say. */
  large?: "yes" | "maybe";
  /** Whose turn it is; asked only when the request has to wait. */
  caller: () => string;
  signal: AbortSignal;
  /** Workers that have already failed this request. */
  excluded?: Set<Worker>;
  /** The request's place, kept when it comes back to wait again. */
  ticket?: QueueTicket;
  /** How the state calls the request while it waits. */
  requestId?: string;
  /** Called once when the request begins to wait. */
  onWait?: (() => void) | undefined;
}

type RequestedEndpoint = Pick<Endpoint, "method" | "backendPath" | "needs" | "exact">;

/** The name of a route among those that a backend may lack. */
function routeName({ method, backendPath }: RequestedEndpoint): string {
  return `${method} ${backendPath}`;
}

/** A place at a worker, held by one request. */
export interface Slot {
  readonly worker: Worker;
  /** Says how the request went, before the place is given back. */
  report(verdict: HealthVerdict): void;
  /** Gives the place back and wakes the queue. Further calls do nothing. */
  release(): void;
}

interface Entry extends Waiting {
  slotRequest: SlotRequest;
  since: number;
  grant(slot: Slot): void;
  refuse(error: NfrxError): void;
}

/**
 * The workers of one module and who waits for them. Every change that could let somebody run — a seat given back, a
 * worker that came, changed or left — scans the queue at once, so no entry that could run ever waits, and a newcomer may
 * take a free seat without looking at the queue.
 */
export class Pool {
  readonly registry: Registry;
  readonly totals = { completed: 0, failed: 0, joined: 0, left: 0 };
  readonly recent: Recent;
  /** Who left a moment ago. */
  readonly departed: BoundedMap<{ readonly worker: Worker; readonly wall: number }>;
  /** Called when a worker has gone. */
  onLeave: (worker: Worker) => void = () => {};
  readonly #queue: FairQueue<Entry>;
  #stopped = false;
  #turn = 0;
  #inflight = 0;
  readonly #first = Promise.withResolvers<Worker>();
  readonly #past = new LinkStats();
  readonly #drained = new BoundedMap<true>(DRAINED_IDS_MAX);
  readonly #startedAt: number;

  constructor(
    readonly moduleId: string,
    private readonly clock: Clock,
    readonly settings: PoolSettings,
    /** Milliseconds after the start in which agents may still come back. */
    private readonly startGraceMs = 0,
  ) {
    this.registry = new Registry(clock, settings.graceMs, () => this.wake());
    this.#queue = new FairQueue(settings.queueSize);
    this.#startedAt = clock.now();
    this.recent = new Recent(this.#startedAt);
    this.departed = new BoundedMap(GONE_SHOWN_MAX, { clock, ms: GONE_SHOWN_MS });
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** What the connections of all workers have counted, those that are gone included. */
  get linkStats(): LinkStats {
    const sum = new LinkStats();
    sum.add(this.#past);
    for (const worker of this.registry.workers) sum.add(worker.link.stats);
    return sum;
  }

  get inflight(): number {
    return this.#inflight;
  }

  /** Exchanges open on the connections of all workers. */
  get streams(): number {
    let sum = 0;
    for (const worker of this.registry.workers) sum += worker.link.streams;
    return sum;
  }

  /**
   * A seat at the best worker, at once or when one becomes free. Rejects with `no_worker` when nobody serves this,
   * `too_large` when only workers on wire v1 do and it is too large for them, `worker_busy` when the queue is full or the
   * wait too long, `canceled` when the signal aborts, `draining` when the pool has stopped.
   */
  acquire(slotRequest: SlotRequest): Slot | Promise<Slot> {
    if (this.#stopped) throw draining();
    if (slotRequest.exemptFromSlots) return this.#exemptFromSlots(slotRequest);
    const choice = this.#choose(slotRequest);
    if (choice.kind === "seat") return this.#slot(choice.worker, slotRequest);
    if (choice.kind === "none") throw this.#noWorker(slotRequest);
    if (slotRequest.ticket === undefined && this.#queue.full) {
      if (choice.resting !== undefined) return this.#slot(choice.resting, slotRequest);
      throw this.#busy("every worker is busy and the queue is full");
    }
    return this.#wait(slotRequest);
  }

  /** Up to `max` seats at different workers, as many as are free now, best first; never waits. */
  acquireFree(slotRequest: SlotRequest, max: number): Slot[] {
    const slots: Slot[] = [];
    const excluded = new Set(slotRequest.excluded);
    while (slots.length < max) {
      const choice = this.#choose({ ...slotRequest, excluded });
      if (choice.kind !== "seat") break;
      excluded.add(choice.worker);
      slots.push(this.#slot(choice.worker, slotRequest));
    }
    return slots;
  }

  /** A seat at a worker that does not rest, if one is free now; never waits. */
  acquireSpare(slotRequest: SlotRequest): Slot | undefined {
    const choice = this.#choose(slotRequest);
    return choice.kind === "seat" && !choice.worker.resting ? this.#slot(choice.worker, slotRequest) : undefined;
  }

  /** True when somebody who is not excluded could be visited. */
  canVisit(slotRequest: SlotRequest): boolean {
    return this.#exemptCandidates(slotRequest).length > 0;
  }

  /** Notes that a worker's backend does not have a route. True when another one may have it, now or when it is free. */
  lacksRoute(worker: Worker, slotRequest: SlotRequest): boolean {
    const { endpoint, excluded } = slotRequest;
    if (endpoint === undefined) return false;
    const name = routeName(endpoint);
    worker.missing.set(name, true);
    return this.#offers(slotRequest).some(
      ({ worker: other }) => other.serving && !excluded?.has(other) && !other.missing.has(name),
    );
  }

  /** The model of a request that names none: the one that is set, or the only one that is connected. */
  get usualModel(): string | undefined {
    if (this.settings.defaultModel !== undefined) return this.settings.defaultModel;
    const [only, more] = this.registry.models();
    return more === undefined ? only?.id : undefined;
  }

  /** The 1-based place of a waiting request, 0 when it does not wait. */
  position(slotRequest: SlotRequest): number {
    return this.#queue.place(entry => entry.slotRequest === slotRequest);
  }

  /** Who waits, the first `max` of them in their order. */
  queued(max: number): { slotRequest: SlotRequest; waitingMs: number }[] {
    const now = this.clock.now();
    return this.#queue.first(max).map(({ slotRequest, since }) => ({ slotRequest, waitingMs: now - since }));
  }

  /** Counts a request that has ended. */
  count(ended: Ended, now: number): void {
    this.totals.completed++;
    if (ended.failed) this.totals.failed++;
    this.recent.add(now, ended);
  }

  /** What an operator calls a worker. */
  handleOf(worker: Worker): string {
    return worker.id;
  }

  /** True when an operator has drained the workers of this handle, here or not. */
  drains(handle: string): boolean {
    return this.#drained.has(handle);
  }

  /** The workers that an operator means. */
  named(handle: string): Worker[] {
    const worker = this.registry.get(handle);
    return worker === undefined ? [] : [worker];
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
      this.#past.add(older.link.stats);
    }
    this.#first.resolve(worker);
    this.wake();
    return older;
  }

  /** Lets a worker go. */
  leave(worker: Worker): void {
    if (!worker.gone) this.#past.add(worker.link.stats);
    worker.gone = true;
    this.totals.left++;
    this.registry.remove(worker);
    if (this.registry.get(worker.id) === undefined) this.departed.set(worker.id, { worker, wall: this.clock.wall() });
    this.onLeave(worker);
    this.wake();
  }

  /** Changes what a worker says of itself. */
  change(worker: Worker, apply: () => void): void {
    const served = worker.serving;
    this.registry.update(worker, apply);
    // Whatever it refused while its backend was down it may be asked for again.
    if (!served && worker.serving)
      for (const { slotRequest } of this.#queue.first(this.#queue.length)) slotRequest.excluded?.delete(worker);
    this.wake();
  }

  /** Lets everybody run who can, and refuses those nobody will serve. */
  wake(): void {
    if (this.#queue.length === 0) return;
    const stuck = new Set<string>();
    this.#queue.scan(entry => {
      const { slotRequest } = entry;
      const kind =
        slotRequest.excluded === undefined
          ? `${slotRequest.large} ${slotRequest.endpoint?.backendPath} ${slotRequest.workerId ?? ""}\n${slotRequest.label ?? ""}`
          : undefined;
      if (kind !== undefined && stuck.has(kind)) return false;
      const choice = this.#choose(slotRequest);
      if (choice.kind === "busy") {
        if (kind !== undefined) stuck.add(kind);
        return false;
      }
      if (choice.kind === "seat") entry.grant(this.#slot(choice.worker, slotRequest));
      else entry.refuse(this.#noWorker(slotRequest));
      return true;
    });
  }

  /** Gives no more seats: the waiting requests are refused with `draining`, and so are later ones. */
  stop(): void {
    this.#stopped = true;
    this.#queue.scan(entry => {
      entry.refuse(draining());
      return true;
    });
  }

  /** True while agents may still be on their way back to a broker that has just started. */
  get filling(): boolean {
    return this.clock.now() - this.#startedAt < this.startGraceMs;
  }

  /**
   * THE word for a model or a worker that is not here: one that was here within the last hour, or may have been before the
   * broker started, is expected back (503); another one is unknown (404).
   */
  absence(label: string | undefined, workerId?: string): NfrxError {
    const { registry } = this;
    const pinned = workerId === undefined ? undefined : registry.get(workerId);
    const expected =
      workerId === undefined
        ? label !== undefined && registry.expects(label, this.settings.minScore <= SCORE_ALIAS)
        : registry.expectsWorker(workerId);
    const message =
      workerId === undefined
        ? `no worker serves model ${label}`
        : `no worker ${workerId}${label === undefined ? "" : ` with model ${label}`}`;
    const param = workerId === undefined ? { param: "model" } : {};
    if (!expected && (pinned !== undefined || !this.filling)) {
      const others = label !== undefined && workerId === undefined ? this.whatIsThere : "";
      return new NfrxError("no_worker", message + others, param);
    }
    const why = expected ? "now" : "yet: the broker has just started";
    const retry = { temporary: true, retryAfterSeconds: RETRY_AFTER_S };
    return new NfrxError("no_worker", `${message} ${why}`, { ...param, ...retry });
  }

  /** The models that there are, for an error about an unknown one: NAMED_MODELS_MAX of them at most. */
  get whatIsThere(): string {
    const models = this.registry.models().map(({ id }) => id);
    if (models.length === 0) return "";
    const more = models.length - NAMED_MODELS_MAX;
    return `; available models: ${models.slice(0, NAMED_MODELS_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  }

  close(): void {
    this.registry.close();
  }

  #choose(slotRequest: SlotRequest): Choice<Worker> {
    const { label, workerId, endpoint } = slotRequest;
    const offers = this.#offers(slotRequest);
    const { minScore } = this.settings;
    const able = slotRequest.large ? offers.filter(offer => offer.worker.link.version !== 1) : offers;
    let choice = choose(able, minScore, slotRequest.excluded);
    if (choice.kind === "none" && slotRequest.large === "maybe")
      choice = choose(offers, minScore, slotRequest.excluded);
    if (choice.kind !== "none" || workerId !== undefined) return choice;
    return this.registry.brieflyAway(label, endpoint?.exact) ? { kind: "busy" } : choice;
  }

  /**
   * The workers that could do it. One whose backend does not have the route, by its own answer, is left out while there is
   * another; who is asked for by id is asked.
   */
  #offers({ label, workerId, endpoint }: SlotRequest): Offer<Worker>[] {
    const all = this.registry.offers(label, endpoint?.exact);
    if (workerId !== undefined) return all.filter(offer => offer.worker.id === workerId);
    if (endpoint === undefined) return all;
    const { needs } = endpoint;
    const able = needs === undefined ? all : all.filter(({ worker }) => mayHave(worker.backend, needs));
    if (able.every(({ worker }) => worker.missing.size === 0)) return able;
    const name = routeName(endpoint);
    const having = able.filter(({ worker }) => !worker.missing.has(name));
    return having.length > 0 ? having : able;
  }

  #slot(worker: Worker, slotRequest: SlotRequest): Slot {
    const probe = !worker.health.sound && worker.health.begin(this.clock.now());
    let reported = false;
    worker.inflight++;
    worker.lastChosen = ++this.#turn;
    this.#inflight++;
    let held = true;
    return {
      worker,
      report: verdict => {
        reported = true;
        this.#report(worker, verdict, slotRequest, probe);
      },
      release: () => {
        if (!held) return;
        held = false;
        if (probe && !reported) worker.health.undecided();
        worker.inflight--;
        this.#inflight--;
        this.wake();
      },
    };
  }

  #report(worker: Worker, verdict: HealthVerdict, slotRequest: SlotRequest, probe: boolean): void {
    const { health } = worker;
    if (verdict === "ok") {
      if (health.succeeded()) this.wake();
    } else if (verdict === "failed") {
      const restMs = health.failed(this.clock.now(), slotRequest.caller(), probe);
      // Those that wait may be served by nobody else, or by this one again when its rest is over.
      if (restMs > 0) this.clock.after(restMs, () => this.wake(), true);
      if (restMs > 0) this.wake();
    } else if (probe) health.undecided();
  }

  #exemptCandidates({ label, workerId, excluded, servesDuringDrain }: SlotRequest): Worker[] {
    return this.registry
      .offers(label)
      .map(offer => offer.worker)
      .filter(
        worker =>
          (workerId === undefined || worker.id === workerId) &&
          (worker.present || (servesDuringDrain && !worker.gone)) &&
          worker.link.routable &&
          !excluded?.has(worker),
      );
  }

  /** A place beside the seats: who asks about a task must not wait behind the tasks themselves. */
  #exemptFromSlots(slotRequest: SlotRequest): Slot {
    const workers = this.#exemptCandidates(slotRequest);
    const open = workers.filter(({ slotExempt }) => slotExempt < this.settings.maxSlotExempt);
    const worker = open.find(({ serving }) => serving) ?? open[0];
    if (worker === undefined)
      throw workers.length > 0
        ? this.#busy("too many requests are queued for this worker")
        : this.#noWorker(slotRequest);
    worker.slotExempt++;
    let held = true;
    return {
      worker,
      report: () => {},
      release: () => {
        if (held) worker.slotExempt--;
        held = false;
      },
    };
  }

  #wait(slotRequest: SlotRequest): Promise<Slot> {
    const { promise, resolve, reject } = Promise.withResolvers<Slot>();
    const settle = (): void => {
      timer.cancel();
      slotRequest.signal.removeEventListener("abort", onAbort);
    };
    const entry: Entry = {
      caller: slotRequest.caller(),
      slotRequest,
      since: this.clock.now(),
      grant(slot) {
        settle();
        resolve(slot);
      },
      refuse(error) {
        settle();
        reject(error);
      },
    };
    const onAbort = (): void => {
      if (this.#queue.remove(entry)) entry.refuse(new NfrxError("canceled", "the client disconnected"));
    };
    const timer = this.clock.after(this.settings.queueTimeoutMs, () => {
      if (this.#queue.remove(entry)) entry.refuse(this.#busy("no worker became available in time"));
    });
    slotRequest.ticket = this.#queue.add(entry, slotRequest.ticket);
    if (slotRequest.signal.aborted) onAbort();
    else slotRequest.signal.addEventListener("abort", onAbort);
    slotRequest.onWait?.();
    return promise;
  }

  #noWorker(slotRequest: SlotRequest): NfrxError {
    const { label, workerId } = slotRequest;
    if (slotRequest.large === "yes" && this.#choose({ ...slotRequest, large: "maybe" }).kind !== "none")
      return new NfrxError(
        "too_large",
        `the request body exceeds the limit of the available workers, ${V1_REQUEST_BODY} bytes`,
      );
    if (this.#lacksBackend(slotRequest)) {
      const which = label === undefined ? "" : ` with model ${label}`;
      return new NfrxError("no_worker", `no worker${which} has a backend that supports this API`, { param: "model" });
    }
    if (workerId !== undefined || label !== undefined) return this.absence(label, workerId);
    return new NfrxError("overloaded", "no worker", { retryAfterSeconds: RETRY_AFTER_S });
  }

  /** True when workers have what is asked for, and the backend of none of them can have the route. */
  #lacksBackend({ label, workerId, endpoint }: SlotRequest): boolean {
    const needs = endpoint?.needs;
    if (needs === undefined || workerId !== undefined) return false;
    const offers = this.registry.offers(label, endpoint?.exact);
    return offers.length > 0 && !offers.some(({ worker }) => mayHave(worker.backend, needs));
  }

  #busy(message: string): NfrxError {
    return new NfrxError("worker_busy", message, { retryAfterSeconds: RETRY_AFTER_S });
  }
}

function draining(): NfrxError {
  return new NfrxError("draining", "the broker is shutting down", { retryAfterSeconds: DRAIN_RETRY_AFTER_S });
}

/** Maximum number of models listed in the error for an unknown model. */
const NAMED_MODELS_MAX = 10;

/** Retry-After in seconds while the broker is shutting down: another one may have replaced it by then. */
const DRAIN_RETRY_AFTER_S = 10;

/** Retry-After of a rejected request, in seconds. */
const RETRY_AFTER_S = 5;
