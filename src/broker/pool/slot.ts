import type { Endpoint } from "../../modules/module.ts";
import type { HealthVerdict } from "./health.ts";
import type { QueueTicket } from "./queue.ts";
import type { Worker } from "./worker.ts";

/** What a request wants of a pool. */
export interface SlotRequest {
  /** The model, or undefined when any worker will do. */
  label: string | undefined;
  /** The route that its backend must have, and whether another quantization will do. */
  endpoint?: RequestedEndpoint;
  /** Pins the request to one worker. */
  workerId?: string | undefined;
  /** The request is let in besides the slots: it asks about work that a worker already has, or only listens. */
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

/** A place at a worker, held by one request. */
export interface Slot {
  readonly worker: Worker;
  /** Says how the request went, before the place is given back. */
  report(verdict: HealthVerdict): void;
  /** Gives the place back and wakes the queue. Further calls do nothing. */
  release(): void;
}
