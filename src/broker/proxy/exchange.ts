import { NfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { failureOf, type Span } from "../../lib/trace.ts";
import type { Endpoint, Usage } from "../../modules/module.ts";
import type { Access, CallerKey, Reservation } from "../../modules/route.ts";
import type { HeaderList, ResponseHead } from "../../protocol/frames.ts";
import { V1_REQUEST_BODY } from "../../protocol/limits.ts";
import type { RequestBody } from "../http/body/body.ts";
import type { BrokerMetrics, RequestSeries } from "../observe/metrics.ts";
import type { Owners } from "../pool/owners.ts";
import type { Pool } from "../pool/pool.ts";
import type { Slot, SlotRequest } from "../pool/slot.ts";
import type { Worker } from "../pool/worker.ts";
import type { Attempt, AttemptContext } from "./attempt.ts";
import type { Kept } from "./routing/kept.ts";
import type { RoutingFields } from "./routing/routing-fields.ts";

/** Shared data of a module's exchanges. */
export interface ExchangeContext extends AttemptContext {
  pool: Pool;
  /** Times a request that only computes is sent to another worker because its machine was lost. */
  retryLost: number;
  owners: Owners;
  metrics: BrokerMetrics;
  log: Logger;
}

export interface ExchangeRequest {
  id: string;
  /** The requested URL. */
  url: string;
  /** Its line in the access log. */
  access: Access;
  endpoint: Endpoint;
  /** Path and query for the worker. */
  target: string;
  label: RoutingFields;
  body: RequestBody;
  /** The forwarded request headers. */
  headers: HeaderList;
  series: RequestSeries;
  workerId: string | undefined;
  /** The stored items that it names. */
  kept: Kept | undefined;
  /** Its turn, for the pool. */
  turn: SlotRequest["turn"];
  /** Aborts when the client goes away. */
  signal: AbortSignal;
  /** Uses no slot. */
  exemptFromSlots?: boolean;
  /** Also sent to draining workers. */
  servesDuringDrain?: boolean;
  /** The caller's key, when an operator made it. */
  key?: CallerKey | undefined;
  /** The reservation with the limits of that key. */
  reservation?: Reservation | undefined;
  /** Not safe to repeat: it is sent to one worker, once. */
  once?: boolean;
  /** Runs at the very end. */
  onClose?: () => void;
}

/**
 * One client request on its way through a worker and back, from the moment it is known what it wants until its response
 * has ended: what it asks the pool for, and how far it has come. `withExchange` owns its end.
 */
export class Exchange {
  readonly slotRequest: SlotRequest;
  /** The current or last attempt. */
  attempt: Attempt | undefined;
  retries = 0;
  /** The status of the response that the client gets. */
  status = 0;
  /** Reads the token counts of the response so far: those of an aborted one count too. */
  tap: { readonly usage?: Usage | undefined } | undefined;
  /** Items that have come of a request that was split. */
  items = 0;
  /** Items of a request that was not, which all come with its response. */
  whole = 0;
  /** True once a worker has all of the request's body. */
  sent = false;
  /** When it last got a slot, by the clock. */
  slotAt = 0;
  /** When it first got one. */
  startedAt: number | undefined;
  firstByteAt: number | undefined;
  /** Pieces of the response so far. */
  chunks = 0;
  /** Ends what is under way besides the attempt. */
  onCut: ((error: NfrxError) => void) | undefined;
  /** Why it was given up after its response had begun. */
  failure: NfrxError | undefined;
  /** It has been settled. */
  over = false;

  #cutBy: NfrxError | undefined;
  #waitingSince: number | undefined;
  #waiting: Span | undefined;
  /** The end of a body that is still to come. */
  #bodyEnd: PromiseWithResolvers<NfrxError | undefined> | undefined;

  constructor(
    readonly context: ExchangeContext,
    readonly request: ExchangeRequest,
    onWait?: () => void,
  ) {
    const { label, signal, body, turn, kept } = request;
    this.slotRequest = {
      label: label.model,
      endpoint: request.endpoint,
      workerId: request.workerId ?? kept?.workerId,
      requestId: request.id,
      turn,
      signal,
      onWait: () => this.#wait(onWait),
      onRelease: heldMs => {
        request.access.slotMs += heldMs;
      },
    };
    if (body.length === undefined) this.slotRequest.large = "maybe";
    else if (body.length > V1_REQUEST_BODY) this.slotRequest.large = "yes";
    if (request.exemptFromSlots) this.slotRequest.exemptFromSlots = true;
    if (request.servesDuringDrain) this.slotRequest.servesDuringDrain = true;
    context.metrics.begin(request.series);
    // Stays there: the signal is the request's own and ends with it.
    signal.addEventListener("abort", () => this.cancel());
    request.access.onCut = error => this.cut(error);
  }

  /** The response has a body: its consumer calls `ended`. */
  streams(): void {
    this.#bodyEnd = Promise.withResolvers();
    if (this.failure !== undefined) this.#bodyEnd.resolve(this.failure);
  }

  /** Resolves when that body has ended, to the reason when it has failed; undefined when there is none. */
  get bodyEnd(): Promise<NfrxError | undefined> | undefined {
    return this.#bodyEnd?.promise;
  }

  /** That body has ended. Later calls do nothing. */
  ended(error?: NfrxError): void {
    this.#bodyEnd?.resolve(error);
  }

  /** The client has no more use for the response. */
  cancel(): void {
    if (!this.over) this.attempt?.giveUp(new NfrxError("canceled", "the client disconnected"));
  }

  /** Its key no longer allows it. */
  cut(error: NfrxError): void {
    if (this.over) return;
    this.#cutBy = error;
    this.context.pool.cancel(this.slotRequest, error);
    this.attempt?.giveUp(error);
    this.onCut?.(error);
  }

  /** The attempt was aborted after the response began, and perhaps it is no longer read. */
  givenUp(error: NfrxError): void {
    this.failure = error;
    this.ended(error);
  }

  /** The current worker. */
  get worker(): Worker | undefined {
    return this.attempt?.slot.worker;
  }

  /** The token counts of the response so far. */
  get usage(): Usage | undefined {
    return this.tap?.usage;
  }

  get queuePosition(): number {
    return this.context.pool.position(this.slotRequest);
  }

  /** True while the client still sends its request. */
  get uploading(): boolean {
    return !this.sent && !this.request.body.arrived;
  }

  /** It has a slot: its wait, if it had to, is over. Throws, with the slot given back, when its key has used up a limit meanwhile. */
  slotAcquired(slot: Slot): void {
    try {
      if (this.#cutBy !== undefined) throw this.#cutBy;
      this.request.reservation?.recheck();
    } catch (refused) {
      slot.release();
      throw refused;
    }
    const now = this.context.clock.now();
    this.slotAt = now;
    this.leaveQueue();
    if (this.startedAt !== undefined) return;
    this.startedAt = now;
    this.context.metrics.started(this.request.series);
  }

  /** A backend has answered, which it may do to each part of a request. */
  answered({ status }: ResponseHead): void {
    const { access, series } = this.request;
    access.firstByteMs ??= this.context.clock.now() - access.arrivedAt;
    this.status = status;
    this.context.metrics.answered(series, status);
  }

  /** Bytes of the response came: the exchange is alive. */
  touch(): void {
    this.firstByteAt ??= this.context.clock.now();
    this.chunks++;
    this.attempt?.touch();
  }

  /** The client was ready for the next piece of its stream so long. */
  waited(ms: number): void {
    this.request.series.gap.observe(ms / 1000);
  }

  /** Records that the current worker has `id`: requests that name it are sent there. */
  keeps(id: string): void {
    const { worker } = this;
    const { kept } = this.request;
    if (worker !== undefined && kept !== undefined) this.context.owners.remember(id, worker.id, kept.caller);
  }

  #wait(onWait: (() => void) | undefined): void {
    this.#waitingSince = this.context.clock.now();
    this.#waiting = this.request.access.span?.child("queue", "internal");
    onWait?.();
  }

  /** Its wait, if it waits, is over, with a slot or without. */
  leaveQueue(error?: NfrxError): void {
    if (this.#waitingSince === undefined) return;
    const { access } = this.request;
    access.queueMs = (access.queueMs ?? 0) + this.context.clock.now() - this.#waitingSince;
    this.#waitingSince = undefined;
    this.#waiting?.end(failureOf(error));
  }
}
