// Finds a worker for a request and asks it, and another one while that is safe.
import { asText } from "../../lib/bytes.ts";
import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import { withLength } from "../../lib/http.ts";
import type { ResponseHead } from "../../protocol/frames.ts";
import type { Stream } from "../../protocol/stream.ts";
import { lacksRoute, mayLackRoute, NO_ROUTE_BYTES } from "../pool/backend-routes.ts";
import type { Slot } from "../pool/slot.ts";
import type { Worker } from "../pool/worker.ts";
import { Attempt } from "./attempt.ts";
import type { Exchange } from "./exchange.ts";
import { backendFailure, isBusy, outward } from "./failure.ts";
import { OutgoingBody } from "./outgoing.ts";
import { ASKED_MAX } from "./routing/locate.ts";

/** Maximum retries on another worker before anything of a response has arrived. */
export const REDISPATCHES = 2;

const NOT_FOUND = 404;
/** Statuses that mean that a backend did nothing and is too busy. */
const OVERLOADED: ReadonlySet<number> = new Set([429, 503]);

/** The beginning of a worker's response, and where the rest comes from. */
export interface WorkerAnswer {
  readonly head: ResponseHead;
  readonly stream: Stream;
}

/**
 * Finds a worker for an exchange and sends the request; resolves with the beginning of the response. Rejects when no
 * other worker is worth trying.
 */
export function dispatch(exchange: Exchange): Promise<WorkerAnswer> {
  return new Dispatch(exchange).run();
}

/** The attempts of one exchange. */
class Dispatch {
  /** Times a worker refused it. */
  #refused = 0;
  /** Times the machine that had it was lost. */
  #lost = 0;
  /** It was sent elsewhere because a backend was too busy. */
  #sentElsewhere = false;

  constructor(private readonly exchange: Exchange) {}

  async run(): Promise<WorkerAnswer> {
    const { exchange } = this;
    let spare: Slot | undefined;
    for (let failure: NfrxError | undefined; ; ) {
      const acquired = spare ?? this.#acquire(failure);
      const slot = acquired instanceof Promise ? await acquired : acquired;
      spare = undefined;
      exchange.slotAcquired(slot);
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
        exchange.answered(head);
        exchange.request.body.settle();
        if (stream.arrived || stream.buffered > 0) exchange.touch();
        return { head, stream };
      } catch (thrown) {
        failure = toNfrxError(thrown);
        exchange.attempt?.end(failure);
        if (isBusy(failure) && this.#isRepeatable) {
          exchange.slotRequest.returned = true;
          continue;
        }
        if (!this.#mayRetry(failure, slot.worker)) throw outward(failure);
        this.#exclude(slot.worker);
        this.#sentOn(slot, failure);
      }
    }
  }

  /** A slot, or the reason why there is none: `failure`, if a worker was already tried. */
  #acquire(failure: NfrxError | undefined): Slot | Promise<Slot> {
    const { signal } = this.exchange.request;
    // If no other worker is available, the last worker's error is more informative, unless the broker is shutting down.
    const instead = (error: unknown): unknown =>
      failure === undefined || signal.aborted || toNfrxError(error).code === "draining" ? error : outward(failure);
    try {
      if (signal.aborted) throw new NfrxError("canceled", "the client disconnected");
      const acquired = this.exchange.context.pool.acquire(this.exchange.slotRequest);
      return acquired instanceof Promise ? this.#withSlot(acquired, instead) : acquired;
    } catch (error) {
      throw instead(error);
    }
  }

  async #withSlot(waiting: Promise<Slot>, instead: (error: unknown) => unknown): Promise<Slot> {
    const slot = await waiting.catch((error: unknown) => {
      throw instead(error);
    });
    if (!this.exchange.request.signal.aborted) return slot;
    slot.release();
    throw new NfrxError("canceled", "the client disconnected");
  }

  /** Opens a stream at the worker and sends the request; the head of its answer is to come. */
  #ask(slot: Slot): Attempt {
    const { exchange } = this;
    const { context, request } = exchange;
    const { endpoint, target, headers, id, body, label, access } = request;
    const dispatched = { request_id: id, job_type: endpoint.jobType, model: label.model, worker_id: slot.worker.id };
    context.log.info(dispatched, "request dispatched");
    // The backend needs the length of the body: not every server supports chunked bodies.
    const follows = slot.worker.upstream.canStreamUnknownLength;
    const outgoing = new OutgoingBody(body, label, slot.worker);
    access.servedModel = outgoing.model;
    const sent = withLength(headers, follows ? outgoing.length : undefined);
    const head = { method: endpoint.method, path: target, headers: sent };
    const attempt = new Attempt(slot, head, context, {
      onGivenUp: error => exchange.givenUp(error),
      parent: access.span,
    });
    exchange.attempt = attempt;
    if (body.whole) attempt.stream.end(outgoing.bytes);
    else void this.#upload(attempt, outgoing);
    return attempt;
  }

  /** Sends a body that is not held in memory. */
  async #upload(attempt: Attempt, outgoing: OutgoingBody): Promise<void> {
    const { access } = this.exchange.request;
    access.bytesIn = 0;
    const sent = await attempt.upload(outgoing.chunks(), bytes => {
      access.bytesIn += bytes;
    });
    // Another one may have it by now.
    if (this.exchange.attempt === attempt) this.exchange.sent = sent;
  }

  #exclude(worker: Worker): void {
    this.exchange.slotRequest.excluded ??= new Set();
    this.exchange.slotRequest.excluded.add(worker.connectionId);
  }

  /**
   * True when the worker does not have what is asked for and another one may: the broker has not seen it begin, as after
   * a restart, or its worker is gone. The worker that has it is remembered. Throws `overloaded` when no worker has it and
   * its own may come back, as after a start of the broker.
   */
  #isElsewhere(head: ResponseHead, { worker }: Slot): boolean {
    const { pool } = this.exchange.context;
    const { kept } = this.exchange.request;
    if (kept === undefined) return false;
    if (head.status !== NOT_FOUND) {
      if (head.status < 400)
        for (const id of kept.ids) this.exchange.context.owners.remember(id, worker.id, kept.caller);
      return false;
    }
    if (!kept.inTurn || (this.exchange.slotRequest.excluded?.size ?? 0) >= ASKED_MAX) return false;
    this.#exclude(worker);
    if (pool.canExempt(this.exchange.slotRequest)) return true;
    if (kept.away || pool.filling)
      throw new NfrxError("overloaded", "the worker that has this task is not connected", { retryAfterSeconds: 5 });
    return false;
  }

  /** True when the backend does not have the route, by its own answer, and another worker's may. */
  async #lacksRoute({ status }: ResponseHead, attempt: Attempt): Promise<boolean> {
    const { kept, exemptFromSlots, once } = this.exchange.request;
    if ((kept?.ids.length ?? 0) > 0 || exemptFromSlots || once) return false;
    const answer = await attempt.peek(NO_ROUTE_BYTES);
    if (answer === undefined || !lacksRoute(status, asText(answer))) return false;
    const { worker } = attempt.slot;
    const elsewhere = this.exchange.context.pool.lacksRoute(worker, this.exchange.slotRequest);
    if (!elsewhere || this.exchange.slotRequest.workerId !== undefined || !this.#isRepeatable) return false;
    this.#exclude(worker);
    return true;
  }

  /**
   * True if the request can be retried on another worker: it was not processed, or it has no side effects and its
   * machine was lost. A machine that has just reported the failure of its backend may have failed because of this
   * request.
   */
  #mayRetry(error: NfrxError, worker: Worker): boolean {
    if (!this.#isRepeatable) return false;
    if (error.code === "refused") return ++this.#refused <= REDISPATCHES;
    if (error.code !== "link_lost" || !this.exchange.request.endpoint.repeatable) return false;
    return !worker.hasLostBackend && ++this.#lost <= this.exchange.context.retryLost;
  }

  /** True while the request can be resent and the client waits for it. */
  get #isRepeatable(): boolean {
    const { once, body, signal } = this.exchange.request;
    return !once && body.resendable && !signal.aborted;
  }

  /** A slot at another worker, when this backend was too busy: once, if one is free. */
  #spareFor({ status }: ResponseHead, { worker }: Slot): Slot | undefined {
    if (!OVERLOADED.has(status) || this.#sentElsewhere) return undefined;
    const { exemptFromSlots, endpoint } = this.exchange.request;
    if (exemptFromSlots || !endpoint.repeatable || !this.#isRepeatable) return undefined;
    this.#sentElsewhere = true;
    this.#exclude(worker);
    return this.exchange.context.pool.acquireSpare(this.exchange.slotRequest);
  }

  /** Notes that another worker gets the request now. */
  #sentOn({ worker }: Slot, error: NfrxError): void {
    this.exchange.retries++;
    const { clock, log } = this.exchange.context;
    if (error.code === "upstream_error") {
      const now = clock.now();
      worker.recordUsage(now, now - this.exchange.slotAt, error, undefined, 0);
    }
    const about = {
      request_id: this.exchange.request.id,
      worker_id: worker.id,
      error_code: error.code,
      error: error.message,
    };
    log.info(about, "retrying the request on another worker");
  }
}
