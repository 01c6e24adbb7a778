// The slots of workers: acquiring, releasing, and the health of workers from their requests.
import type { Clock } from "../../lib/time.ts";
import type { HealthVerdict } from "./health.ts";
import type { Turn } from "./queue.ts";
import { type Slot, type SlotRequest, turnOf } from "./slot.ts";
import type { Worker } from "./worker.ts";

/** Counts the use of slots by callers. */
export interface Accounts {
  began(turn: Turn): number;
  ended(turn: Turn, expectedMs: number, usedMs: number): void;
}

export class Slots {
  #inflight = 0;
  #turn = 0;

  constructor(
    readonly clock: Clock,
    /** Called when a queued request may be able to run. */
    readonly onFree: () => void,
    /** Counts what callers use. */
    readonly accounts: () => Accounts,
  ) {}

  /** Requests that hold a slot. */
  get inflight(): number {
    return this.#inflight;
  }

  /** Gives a request a slot of a worker that has one. */
  give(worker: Worker, slotRequest: SlotRequest): Slot {
    worker.inflight++;
    worker.lastChosen = ++this.#turn;
    this.#inflight++;
    return new HeldSlot(this, worker, slotRequest);
  }

  /** Takes it back; the slot itself calls this, once. */
  takeBack(worker: Worker): void {
    worker.inflight--;
    this.#inflight--;
    this.onFree();
  }
}

class HeldSlot implements Slot {
  /** This request probes a worker after its rest. */
  readonly #probe: boolean;
  #reported = false;
  #held = true;
  readonly #since: number;
  /** The turn whose use is counted, and its expected slot time. */
  readonly #use: { readonly turn: Turn; readonly expectedMs: number } | undefined;

  constructor(
    private readonly slots: Slots,
    readonly worker: Worker,
    private readonly slotRequest: SlotRequest,
  ) {
    this.#since = slots.clock.now();
    this.#probe = !worker.health.sound && worker.health.begin(this.#since);
    const { turn } = slotRequest;
    if (typeof turn === "object") this.#use = { turn, expectedMs: slots.accounts().began(turn) };
  }

  report(verdict: HealthVerdict): void {
    this.#reported = true;
    const { health } = this.worker;
    const { clock, onFree } = this.slots;
    if (verdict === "ok") {
      if (health.succeeded()) onFree();
    } else if (verdict === "failed") {
      const restMs = health.failed(clock.now(), turnOf(this.slotRequest).caller, this.#probe);
      if (restMs === 0) return;
      // Queued requests may have no other worker, or this one again after its pause.
      clock.after(restMs, onFree, true);
      onFree();
    } else if (this.#probe) health.undecided();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    if (this.#probe && !this.#reported) this.worker.health.undecided();
    const heldMs = this.slots.clock.now() - this.#since;
    if (this.#use !== undefined) this.slots.accounts().ended(this.#use.turn, this.#use.expectedMs, heldMs);
    this.slotRequest.onRelease?.(heldMs);
    this.slots.takeBack(this.worker);
  }
}

/** Capacity outside the slots: a request about a task must not wait behind the tasks themselves. */
export function exemptSlot(worker: Worker): Slot {
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
