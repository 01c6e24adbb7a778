import { asText } from "../../lib/bytes.ts";
import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import { withLength } from "../../lib/http.ts";
import type { Logger } from "../../lib/log.ts";
import { failureOf, type Span } from "../../lib/trace.ts";
import type { Endpoint, Usage } from "../../modules/module.ts";
import type { Access } from "../../modules/route.ts";
import type { HeaderList, ResponseHead } from "../../protocol/frames.ts";
import { V1_REQUEST_BODY } from "../../protocol/limits.ts";
import type { Stream } from "../../protocol/stream.ts";
import type { RequestBody } from "../http/body/body.ts";
import type { BrokerMetrics, RequestSeries } from "../observe/metrics.ts";
import { lacksRoute, mayLackRoute, NO_ROUTE_BYTES } from "../pool/backend-routes.ts";
import type { Owners } from "../pool/owners.ts";
import type { Pool, Slot, SlotRequest } from "../pool/pool.ts";
import type { Worker } from "../pool/worker.ts";
import { Attempt, type AttemptContext } from "./attempt.ts";
import type { Kept } from "./kept.ts";
import { ASKED_MAX } from "./locate.ts";
import { OutgoingBody } from "./outgoing.ts";
import type { RoutingFields } from "./routing-fields.ts";

/** Maximum retries on another worker before anything of a response has arrived. */
export const REDISPATCHES = 2;

const OK = 200;
const NOT_FOUND = 404;
/** Statuses by which a backend says that it has done nothing and is too busy now. */
const OVERLOADED: ReadonlySet<number> = new Set([429, 503]);

/** What every exchange of a module shares. */
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
  /** The address that the client asked for. */
  url: string;
  /** Where its end is told. */
  access: Access;
  endpoint: Endpoint;
  /** What the worker is asked for: path and query. */
  target: string;
  label: RoutingFields;
  body: RequestBody;
  /** What the worker gets of the request's headers. */
  headers: HeaderList;
  series: RequestSeries;
  workerId: string | undefined;
  /** What it names of what workers keep. */
  kept: Kept | undefined;
  caller: () => string;
  /** Aborts when the client goes away. */
  signal: AbortSignal;
  /** Let in beside the seats. */
  exemptFromSlots?: boolean;
  /** Such a visit that a worker which drains is asked too. */
  servesDuringDrain?: boolean;
  /** Not safe to repeat: it is sent to one worker, once. */
  once?: boolean;
  /** Runs once at the very end. */
  onClose: () => void;
}

/**
 * One client request on its way through a worker and back: it takes a seat, opens a stream, sends the request again
 * elsewhere while that is safe, and ends in `close`, exactly once, whatever happened.
 */
export class Exchange {
  readonly slotRequest: SlotRequest;
  retries = 0;
  /** What reads the tokens of the answer, as far as it has come: those of an answer that is given up count too. */
  tap: { readonly usage?: Usage | undefined } | undefined;
  /** Items that have come of a request that was split. */
  items = 0;
  /** Items of a request that was not, which all come with its answer. */
  whole = 0;

  #attempt: Attempt | undefined;
  #sent = false;
  /** Times a worker refused it. */
  #refused = 0;
  /** Times the machine that had it was lost. */
  #lost = 0;
  /** It was sent elsewhere because a backend was too busy. */
  #sentElsewhere = false;
  #closed = false;
  #slotAt = 0;
  /** When it had its first worker. */
  #startedAt: number | undefined;
  #status = 0;
  #firstByteAt: number | undefined;
  #waitingSince: number | undefined;
  #waiting: Span | undefined;

  constructor(
    private readonly context: ExchangeContext,
    readonly request: ExchangeRequest,
    onWait?: () => void,
  ) {
    const { label, signal, body, caller, kept } = request;
    this.slotRequest = {
      label: label.model,
      endpoint: request.endpoint,
      workerId: request.workerId ?? kept?.workerId,
      requestId: request.id,
      caller,
      signal,
      onWait: () => this.#wait(onWait),
    };
    if (body.length === undefined) this.slotRequest.large = "maybe";
    else if (body.length > V1_REQUEST_BODY) this.slotRequest.large = "yes";
    if (request.exemptFromSlots) this.slotRequest.exemptFromSlots = true;
    if (request.servesDuringDrain) this.slotRequest.servesDuringDrain = true;
    context.metrics.begin(request.series);
    // Stays there: the signal is the request's own and ends with it.
    signal.addEventListener("abort", () => this.cancel());
  }

  /** The worker that is being asked. */
  get worker(): Worker | undefined {
    return this.#attempt?.slot.worker;
  }

  /** The tokens that the answer, as far as it has come, says it took. */
  get usage(): Usage | undefined {
    return this.tap?.usage;
  }

  /** When it last took a seat, by the clock. */
  get slotAt(): number {
    return this.#slotAt;
  }

  get queuePosition(): number {
    return this.context.pool.position(this.slotRequest);
  }

  /** Finds a worker and asks it; the head of its answer. Rejects once nobody else is worth asking. */
  async dispatch(): Promise<{ head: ResponseHead; stream: Stream }> {
    let spare: Slot | undefined;
    for (let failure: NfrxError | undefined; ; ) {
      const acquired = spare ?? this.#acquire(failure);
      const slot = acquired instanceof Promise ? await acquired : acquired;
      spare = undefined;
      this.seated();
      this.start();
      try {
        const attempt = this.#ask(slot);
        const { stream } = attempt;
        const head = attempt.answered(await stream.head());
        if (this.#isElsewhere(head, slot)) {
          attempt.end();
          continue;
        }
        if (mayLackRoute(head.status) && (await this.#lacksRoute(head, attempt))) {
          attempt.end();
          this.#sentOn(slot, new NfrxError("not_found", "the backend does not have this route"));
          continue;
        }
        spare = this.#spareFor(head, slot);
        if (spare !== undefined) {
          const error = backendFailure(head.status);
          attempt.end(error);
          this.#sentOn(slot, error ?? new NfrxError("overloaded", `the backend responded with status ${head.status}`));
          continue;
        }
        this.answered(head);
        this.request.body.settle();
        if (stream.arrived || stream.buffered > 0) this.touch();
        return { head, stream };
      } catch (thrown) {
        failure = toNfrxError(thrown);
        this.#attempt?.end(failure);
        if (!this.#mayRetry(failure, slot.worker)) throw outward(failure);
        this.#exclude(slot.worker);
        this.#sentOn(slot, failure);
      }
    }
  }

  /** True while the client still sends its request. */
  get uploading(): boolean {
    return !this.#sent && !this.request.body.arrived;
  }

  /** The worker that is being asked keeps `id`: requests that name it are sent there. */
  keeps(id: string): void {
    const worker = this.#attempt?.slot.worker;
    const { kept } = this.request;
    if (worker !== undefined && kept !== undefined) this.context.owners.remember(id, worker.id, kept.caller);
  }

  /** It has a seat: its wait, if it had to, is over. */
  seated(): void {
    this.#slotAt = this.context.clock.now();
    if (this.#waitingSince !== undefined) this.#waited();
  }

  /** Its first worker has it now. */
  start(): void {
    if (this.#startedAt !== undefined) return;
    this.#startedAt = this.context.clock.now();
    this.context.metrics.started(this.request.series);
  }

  /** A backend has answered, which it may do to each part of a request. */
  answered({ status }: ResponseHead): void {
    const { access } = this.request;
    access.firstByteMs ??= this.context.clock.now() - access.arrivedAt;
    this.#status = status;
    this.context.metrics.answered(this.request.series, status);
  }

  /** The client gets one answer out of several, which is good whatever one of them was. */
  merged(): void {
    this.#status = OK;
  }

  /** The client was ready for the next piece of its stream so long. */
  waited(ms: number): void {
    this.request.series.gap.observe(ms / 1000);
  }

  /** Bytes of the answer came: the exchange is alive. */
  touch(): void {
    this.#firstByteAt ??= this.context.clock.now();
    this.#attempt?.touch();
  }

  /** The client has no more use for the answer. */
  cancel(): void {
    if (!this.#closed) this.#attempt?.giveUp(new NfrxError("canceled", "the client disconnected"));
  }

  /** Ends the exchange: the seat goes back, what happened is counted and logged. Later calls do nothing. */
  close(thrown?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    const { clock, metrics } = this.context;
    const { body, access, onClose } = this.request;
    const error = thrown === undefined ? backendFailure(this.#status) : toNfrxError(thrown);
    const now = clock.now();
    const worker = this.#attempt?.slot.worker;
    this.#attempt?.end(error);
    if (this.#waitingSince !== undefined) this.#waited(error);
    if (body.whole) access.bytesIn = body.length ?? 0;
    body.release();
    const { usage } = this;
    const embeddings = this.items + (error === undefined && this.#status < 300 ? this.whole : 0);
    const firstByteMs = this.#firstByteAt === undefined ? undefined : this.#firstByteAt - access.arrivedAt;
    const failed = error !== undefined && error.code !== "canceled";
    this.context.pool.count({ failed, usage, embeddings, firstByteMs });
    worker?.recordUsage(now, now - this.#slotAt, error, usage, embeddings);
    metrics.end({
      series: this.request.series,
      workerId: worker?.id,
      errorCode: error?.code ?? "",
      phase: this.#startedAt === undefined ? "queued" : this.#firstByteAt === undefined ? "unanswered" : "answering",
      seconds: (now - access.arrivedAt) / 1000,
      firstByteSeconds: firstByteMs === undefined ? undefined : firstByteMs / 1000,
      queueSeconds:
        this.slotRequest.ticket === undefined ? undefined : ((this.#startedAt ?? now) - access.arrivedAt) / 1000,
      retries: this.retries,
      usage,
      embeddings,
    });
    access.workerId = worker?.id ?? access.workerId;
    access.usage = this.usage;
    access.retries = this.retries;
    if (error?.code === "internal") metrics.unhandled();
    access.end(error);
    onClose();
  }

  #wait(onWait: (() => void) | undefined): void {
    this.#waitingSince = this.context.clock.now();
    this.#waiting = this.request.access.span?.child("queue", "internal");
    onWait?.();
  }

  /** The wait is over, with a seat or without. */
  #waited(error?: NfrxError): void {
    const { access } = this.request;
    access.queueMs = (access.queueMs ?? 0) + this.context.clock.now() - (this.#waitingSince ?? 0);
    this.#waitingSince = undefined;
    this.#waiting?.end(failureOf(error));
  }

  /** A seat, or why there is none: `failure`, if somebody has already been asked. */
  #acquire(failure: NfrxError | undefined): Slot | Promise<Slot> {
    const { signal } = this.request;
    // When nobody else could be asked, what the last one said tells more than that, unless the broker is going away.
    const instead = (error: unknown): unknown =>
      failure === undefined || signal.aborted || toNfrxError(error).code === "draining" ? error : outward(failure);
    try {
      if (signal.aborted) throw new NfrxError("canceled", "the client disconnected");
      const acquired = this.context.pool.acquire(this.slotRequest);
      return acquired instanceof Promise ? this.#seated(acquired, instead) : acquired;
    } catch (error) {
      throw instead(error);
    }
  }

  async #seated(waiting: Promise<Slot>, instead: (error: unknown) => unknown): Promise<Slot> {
    const slot = await waiting.catch((error: unknown) => {
      throw instead(error);
    });
    if (!this.request.signal.aborted) return slot;
    slot.release();
    throw new NfrxError("canceled", "the client disconnected");
  }

  /** Opens a stream at the worker and sends the request; the head of its answer is to come. */
  #ask(slot: Slot): Attempt {
    const { endpoint, target, headers, id, body, label, access } = this.request;
    const dispatched = { request_id: id, job_type: endpoint.jobType, model: label.model, worker_id: slot.worker.id };
    this.context.log.info(dispatched, "request dispatched");
    // Of a body that follows its head the backend must be told the length: not every server reads one that comes in chunks.
    const follows = slot.worker.link.version !== 1;
    const outgoing = new OutgoingBody(body, label, slot.worker);
    access.servedModel = outgoing.model;
    const sent = withLength(headers, follows ? outgoing.length : undefined);
    const head = { method: endpoint.method, path: target, headers: sent };
    const attempt = new Attempt(slot, head, this.context, {
      onGivenUp: error => this.close(error),
      parent: this.request.access.span,
    });
    this.#attempt = attempt;
    if (body.whole) attempt.stream.end(outgoing.bytes);
    else void this.#upload(attempt, outgoing);
    return attempt;
  }

  /** Sends a body that is not held in memory. */
  async #upload(attempt: Attempt, outgoing: OutgoingBody): Promise<void> {
    const { access } = this.request;
    access.bytesIn = 0;
    const sent = await attempt.upload(outgoing.chunks(), bytes => {
      access.bytesIn += bytes;
    });
    // Another one may have it by now.
    if (this.#attempt === attempt) this.#sent = sent;
  }

  #exclude(worker: Worker): void {
    this.slotRequest.excluded ??= new Set<Worker>();
    this.slotRequest.excluded.add(worker);
  }

  /**
   * True when the worker does not have what is asked for and another one may: the broker has not seen it begin, as after
   * a restart, or its worker is gone. The worker that has it is remembered. Throws `overloaded` when no worker has it and
   * its own may come back, as after a start of the broker.
   */
  #isElsewhere(head: ResponseHead, { worker }: Slot): boolean {
    const { pool } = this.context;
    const { kept } = this.request;
    if (kept === undefined) return false;
    if (head.status !== NOT_FOUND) {
      if (head.status < 400) for (const id of kept.ids) this.context.owners.remember(id, worker.id, kept.caller);
      return false;
    }
    if (!kept.inTurn || (this.slotRequest.excluded?.size ?? 0) >= ASKED_MAX) return false;
    this.#exclude(worker);
    if (pool.canVisit(this.slotRequest)) return true;
    if (kept.away || pool.filling)
      throw new NfrxError("overloaded", "the worker that has this task is not connected", { retryAfterSeconds: 5 });
    return false;
  }

  /** True when the backend does not have the route, by its own answer, and another worker's may. */
  async #lacksRoute({ status }: ResponseHead, attempt: Attempt): Promise<boolean> {
    const { kept, exemptFromSlots, once } = this.request;
    if ((kept?.ids.length ?? 0) > 0 || exemptFromSlots || once) return false;
    const answer = await attempt.peek(NO_ROUTE_BYTES);
    if (answer === undefined || !lacksRoute(status, asText(answer))) return false;
    const { worker } = attempt.slot;
    const elsewhere = this.context.pool.lacksRoute(worker, this.slotRequest);
    if (!elsewhere || this.slotRequest.workerId !== undefined || !this.#isRepeatable) return false;
    this.#exclude(worker);
    return true;
  }

  /**
   * True when the request may be sent to another worker: nobody can have worked on it, or it only computes and its machine
   * was lost. A machine that has just reported the death of its backend may have been killed by this very request.
   */
  #mayRetry(error: NfrxError, worker: Worker): boolean {
    if (!this.#isRepeatable) return false;
    if (error.code === "refused") return ++this.#refused <= REDISPATCHES;
    if (error.code !== "link_lost" || !this.request.endpoint.repeatable) return false;
    return !worker.hasLostBackend && ++this.#lost <= this.context.retryLost;
  }

  /** True while the request can be sent again and somebody waits for its answer. */
  get #isRepeatable(): boolean {
    const { once, body, signal } = this.request;
    return !once && body.resendable && !signal.aborted;
  }

  /** A seat at another worker, when this backend was too busy: once, if one is free. */
  #spareFor({ status }: ResponseHead, { worker }: Slot): Slot | undefined {
    if (!OVERLOADED.has(status) || this.#sentElsewhere) return undefined;
    const { exemptFromSlots, endpoint } = this.request;
    if (exemptFromSlots || !endpoint.repeatable || !this.#isRepeatable) return undefined;
    this.#sentElsewhere = true;
    this.#exclude(worker);
    return this.context.pool.acquireSpare(this.slotRequest);
  }

  /** Notes that another worker gets the request now. */
  #sentOn({ worker }: Slot, error: NfrxError): void {
    this.retries++;
    const { clock, log } = this.context;
    if (error.code === "upstream_error") {
      const now = clock.now();
      worker.recordUsage(now, now - this.#slotAt, error, undefined, 0);
    }
    const about = { request_id: this.request.id, worker_id: worker.id, error_code: error.code, error: error.message };
    log.info(about, "retrying the request on another worker");
  }
}

/** The failure that an answer of this status is, though it goes to the client as it came; undefined when it is none. */
export function backendFailure(status: number): NfrxError | undefined {
  return status < 500 ? undefined : new NfrxError("upstream_error", `the backend responded with status ${status}`);
}

/** What a client is told of a failure between broker and worker, which is its cause. */
export function outward(error: NfrxError): NfrxError {
  const detail = { cause: error };
  if (error.code === "refused")
    return new NfrxError("upstream_error", `the worker rejected the request: ${error.message}`, detail);
  if (error.code === "link_lost") return new NfrxError("upstream_error", "the worker was lost", detail);
  if (error.code === "protocol")
    return new NfrxError("upstream_error", "the worker violated the wire protocol", detail);
  return error;
}
