import type { Endpoint } from "../../modules/module.ts";
import type { HealthVerdict } from "./health.ts";
import type { QueueTicket, Turn } from "./queue.ts";
import type { Worker } from "./worker.ts";

/** A request for a slot. */
export interface SlotRequest {
  /** The model, or undefined when any worker will do. */
  label: string | undefined;
  /** The route that its backend must have, and whether another quantization will do. */
  endpoint?: RequestedEndpoint;
  /** Pins the request to one worker. */
  workerId?: string | undefined;
  /** The request uses no slot: it is about existing work of a worker, or only opens an event stream. */
  exemptFromSlots?: boolean;
  /** Existing work may need this request to finish: a draining worker serves it too. */
  servesDuringDrain?: boolean;
  /** The request's body is larger than wire v1 supports, or may be: a client need not state its size. */
  large?: "yes" | "maybe";
  /**
   * Its turn. A function is called only when the request has to wait, and its use counts in the queue
   * only then; a turn that is given counts in any case.
   */
  turn: Turn | (() => Turn);
  signal: AbortSignal;
  /** Connections of workers that have already failed this request, by their ids. */
  excluded?: Set<string>;
  /** The request's place, kept when it comes back to wait again. */
  ticket?: QueueTicket;
  /** An agent refused it for want of a slot: it waits where it stood, and no longer than if it had waited at once. */
  returned?: boolean;
  /** Milliseconds that it has waited so far. */
  waitedMs?: number;
  /** How the state calls the request while it waits. */
  requestId?: string;
  /** Called for each slot that the request gives back, with the milliseconds for which it held it. */
  onRelease?: ((heldMs: number) => void) | undefined;
  /** Called once when the request begins to wait. */
  onWait?: (() => void) | undefined;
}

type RequestedEndpoint = Pick<Endpoint, "method" | "backendPath" | "needs" | "exact">;

/** A place at a worker, held by one request. */
export interface Slot {
  readonly worker: Worker;
  /** Reports the outcome of the request, before the slot is released. */
  report(verdict: HealthVerdict): void;
  /** Gives the place back and wakes the queue. Further calls do nothing. */
  release(): void;
}

/** The turn of a request; fixed from then on. */
export function turnOf(slotRequest: SlotRequest): Turn {
  if (typeof slotRequest.turn === "function") slotRequest.turn = slotRequest.turn();
  return slotRequest.turn;
}
