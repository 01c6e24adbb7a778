// The requests that wait for a slot, and how one is handed over to them.
import { NfrxError } from "../../lib/errors.ts";
import type { Clock } from "../../lib/time.ts";
import type { PoolSettings } from "../../modules/module.ts";
import { FairQueue, type Turn, type Waiting } from "./queue.ts";
import { busy } from "./refusals.ts";
import type { Choice } from "./schedule.ts";
import { type Slot, type SlotRequest, turnOf } from "./slot.ts";
import type { Worker } from "./worker.ts";

interface Entry extends Waiting {
  slotRequest: SlotRequest;
  since: number;
  grant(slot: Slot): void;
  refuse(error: NfrxError): void;
}

/** How the pool answers a request that waits. */
export interface HandOver {
  choose(slotRequest: SlotRequest): Choice<Worker>;
  give(worker: Worker, slotRequest: SlotRequest): Slot;
  noWorker(slotRequest: SlotRequest): NfrxError;
}

export class WaitingRequests {
  readonly #queue: FairQueue<Entry>;

  constructor(
    private readonly clock: Clock,
    private readonly settings: Pick<PoolSettings, "queueSize" | "queueTimeoutMs">,
    private readonly handOver: HandOver,
  ) {
    this.#queue = new FairQueue(settings.queueSize, clock);
  }

  get length(): number {
    return this.#queue.length;
  }

  get full(): boolean {
    return this.#queue.full;
  }

  /**
   * Makes room for a request in a full queue: the newest one of the caller that has most of them is refused. False when there is
   * room for nobody, because that caller is the request's own.
   */
  makeRoomFor(slotRequest: SlotRequest): boolean {
    const victim = this.#queue.victimFor(turnOf(slotRequest).caller);
    if (victim === undefined) return false;
    this.#queue.remove(victim);
    victim.refuse(busy("the queue is full, and the caller has most of the requests in it"));
    return true;
  }

  /** Counts a slot that a request got. The answer is what `ended` needs. */
  began(turn: Turn): number {
    return this.#queue.began(turn);
  }

  /** Counts what it has really used. */
  ended(turn: Turn, expectedMs: number, usedMs: number): void {
    this.#queue.ended(turn, expectedMs, usedMs);
  }

  /** Refuses a request, if it waits. */
  cancel(slotRequest: SlotRequest, error: NfrxError): void {
    const entry = this.#queue.first(this.#queue.length).find(waiting => waiting.slotRequest === slotRequest);
    if (entry !== undefined && this.#queue.remove(entry)) entry.refuse(error);
  }

  /** The 1-based position of a request, 0 when it does not wait. */
  position(slotRequest: SlotRequest): number {
    return this.#queue.place(entry => entry.slotRequest === slotRequest);
  }

  /** The first `max` of them in their order. */
  first(max: number): { slotRequest: SlotRequest; waitingMs: number }[] {
    const now = this.clock.now();
    return this.#queue.first(max).map(({ slotRequest, since }) => ({ slotRequest, waitingMs: now - since }));
  }

  /** Waits for a slot. */
  add(slotRequest: SlotRequest): Promise<Slot> {
    const { promise, resolve, reject } = Promise.withResolvers<Slot>();
    const since = this.clock.now();
    const { waitedMs = 0, returned = false } = slotRequest;
    const settle = (): void => {
      slotRequest.waitedMs = waitedMs + this.clock.now() - since;
      timer.cancel();
      slotRequest.signal.removeEventListener("abort", onAbort);
    };
    const entry: Entry = {
      turn: turnOf(slotRequest),
      slotRequest,
      since,
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
    const timeoutMs = this.settings.queueTimeoutMs - (returned ? waitedMs : 0);
    const timer = this.clock.after(Math.max(0, timeoutMs), () => {
      if (this.#queue.remove(entry)) entry.refuse(busy("no worker became available in time"));
    });
    slotRequest.ticket = this.#queue.add(entry, slotRequest.ticket ?? (returned ? this.#queue.front() : undefined));
    if (slotRequest.signal.aborted) onAbort();
    else slotRequest.signal.addEventListener("abort", onAbort);
    slotRequest.onWait?.();
    return promise;
  }

  /** Starts every queued request that can run, and rejects those that no worker will serve. */
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
      const choice = this.handOver.choose(slotRequest);
      if (choice.kind === "busy") {
        if (kind !== undefined) stuck.add(kind);
        return false;
      }
      if (choice.kind === "seat") entry.grant(this.handOver.give(choice.worker, slotRequest));
      else entry.refuse(this.handOver.noWorker(slotRequest));
      return true;
    });
  }

  /** A worker that refused while its backend was down can be tried again. */
  forgive(worker: Worker): void {
    for (const { slotRequest } of this.#queue.first(this.#queue.length))
      slotRequest.excluded?.delete(worker.connectionId);
  }

  /** Refuses them all. */
  refuseAll(error: () => NfrxError): void {
    this.#queue.scan(entry => {
      entry.refuse(error());
      return true;
    });
  }
}
