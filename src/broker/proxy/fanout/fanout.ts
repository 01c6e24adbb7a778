// One request, many workers, one answer.
import { asText } from "../../../lib/bytes.ts";
import { NfrxError, toNfrxError } from "../../../lib/errors.ts";
import { withLength } from "../../../lib/http.ts";
import { NOSNIFF, responseHeaders } from "../../../lib/response-headers.ts";
import type { PartAnswer, SplitRequest, Usage } from "../../../modules/module.ts";
import type { ResponseHead } from "../../../protocol/frames.ts";
import { lacksRoute, mayLackRoute, NO_ROUTE_BYTES } from "../../pool/backend-routes.ts";
import type { Slot } from "../../pool/slot.ts";
import type { Worker } from "../../pool/worker.ts";
import { REDISPATCHES } from "../dispatch.ts";
import type { Exchange, ExchangeContext } from "../exchange.ts";
import { backendFailure, outward } from "../failure.ts";
import { askWhole } from "./ask.ts";

/** Maximum size of the responses of all parts together, which are buffered until the last arrives, in bytes. */
const FANOUT_ANSWER_BYTES = 256 * 1024 * 1024;

const OK = 200;

interface Part {
  start: number;
  end: number;
  failures: number;
  /** Times the machine that had it was lost. */
  lost: number;
}

/** A backend's refusal of the request itself: it is forwarded unchanged, because other workers would refuse too. */
class BackendAnswer {
  constructor(
    readonly head: ResponseHead,
    readonly body: Uint8Array,
  ) {}

  /** Undefined where it blames the request. */
  get error(): NfrxError | undefined {
    return backendFailure(this.head.status);
  }
}

/** A complete response that does not match the request. */
class BadAnswer {
  constructor(readonly cause: unknown) {}
}

/** The error that ended a part. */
function errorOf(thrown: unknown): NfrxError | undefined {
  if (thrown instanceof BackendAnswer) return thrown.error;
  return toNfrxError(thrown instanceof BadAnswer ? thrown.cause : thrown);
}

/**
 * Splits a request's items over the free workers: each takes batches of its preferred size, so that its share depends
 * on batch size and speed. A part whose worker fails goes to another one. Rejects if a part has failed too often or no
 * worker is left.
 */
export async function runFanout(split: SplitRequest, exchange: Exchange, context: ExchangeContext): Promise<Response> {
  const run = new FanoutRun(split, exchange, context);
  exchange.tap = run;
  const answer = await run.run();
  const { access } = exchange.request;
  if (answer instanceof BackendAnswer) {
    access.bytesOut = answer.body.length;
    access.status = answer.head.status;
    exchange.status = answer.head.status;
    const headers = responseHeaders(answer.head.headers, exchange.request.id, exchange.request.url);
    return new Response(answer.body as Uint8Array<ArrayBuffer>, { status: answer.head.status, headers });
  }
  access.bytesOut = answer.length;
  // The merged response succeeds, whatever a single part did.
  exchange.status = OK;
  return new Response(answer as Uint8Array<ArrayBuffer>, {
    headers: { "content-type": "application/json", "x-request-id": exchange.request.id, [NOSNIFF[0]]: NOSNIFF[1] },
  });
}

class FanoutRun {
  /** Answers by the first item of their part. */
  readonly #answers = new Map<number, PartAnswer>();
  readonly #again: Part[] = [];
  readonly #abort = new AbortController();
  readonly #workers = new Set<string>();
  #next = 0;
  #share = 1;
  #bytes = 0;
  #lastFailure: unknown;
  /** The answer of a worker that had all items: it passes as it is. */
  #whole: BackendAnswer | undefined;

  constructor(
    private readonly split: SplitRequest,
    private readonly exchange: Exchange,
    private readonly context: ExchangeContext,
  ) {}

  /** The tokens of the parts that have been answered. */
  get usage(): Usage | undefined {
    let sum: Usage | undefined;
    for (const { usage } of this.#answers.values()) {
      if (usage === undefined) continue;
      sum ??= { in: 0, out: 0, total: 0 };
      sum.in += usage.in;
      sum.out += usage.out;
      sum.total += usage.total;
    }
    return sum;
  }

  async run(): Promise<Uint8Array | BackendAnswer> {
    const { signal } = this.exchange.request;
    const onAbort = (): void => this.#abort.abort(new NfrxError("canceled", "the client disconnected"));
    signal.addEventListener("abort", onAbort);
    this.exchange.onCut = error => this.#abort.abort(error);
    try {
      while (this.#left > 0) await this.#round();
      if (this.#whole !== undefined) return this.#whole;
      const parts = [...this.#answers].sort(([a], [b]) => a - b).map(([, answer]) => answer);
      return this.split.merge(parts);
    } catch (thrown) {
      this.#abort.abort(thrown);
      if (thrown instanceof BackendAnswer) return thrown;
      throw outward(toNfrxError(thrown instanceof BadAnswer ? thrown.cause : thrown));
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  get #left(): number {
    return this.split.items - this.#next + this.#again.length;
  }

  /** Waits for one slot, takes other free ones, and works until nothing is left or every worker has failed. */
  async #round(): Promise<void> {
    const { pool } = this.context;
    const { slotRequest } = this.exchange;
    const first = await this.#firstSlot();
    const most = Math.min(pool.settings.maxParallel, this.split.items) - 1;
    const slots = [
      first,
      ...pool.acquireFree(
        { ...slotRequest, excluded: new Set([...(slotRequest.excluded ?? []), first.worker.connectionId]) },
        most,
      ),
    ];
    this.#share = Math.ceil((this.split.items - this.#next) / slots.length);
    try {
      await Promise.all(slots.map(slot => this.#work(slot)));
    } catch (error) {
      // The others stop too and release their slots before the error is reported.
      this.#abort.abort(error);
      throw error;
    }
  }

  async #firstSlot(): Promise<Slot> {
    try {
      const slot = await this.context.pool.acquire({ ...this.exchange.slotRequest, signal: this.#abort.signal });
      this.exchange.slotAcquired(slot);
      return slot;
    } catch (error) {
      // If no worker is left, the last worker's error is more informative.
      throw this.#lastFailure ?? error;
    }
  }

  async #work(slot: Slot): Promise<void> {
    try {
      for (let part = this.#take(slot.worker); part !== undefined; part = this.#take(slot.worker)) {
        if (!(await this.#serve(slot, part))) break;
      }
    } finally {
      slot.release();
    }
  }

  #take(worker: Worker): Part | undefined {
    const again = this.#again.shift();
    if (again !== undefined) return again;
    if (this.#next >= this.split.items) return undefined;
    const start = this.#next;
    this.#next = Math.min(this.split.items, start + (worker.batchSize || this.#share));
    return { start, end: this.#next, failures: 0, lost: 0 };
  }

  /** Has one part answered. False when this worker is to be left alone, with the part put back. */
  async #serve(slot: Slot, part: Part): Promise<boolean> {
    const { worker } = slot;
    const began = this.context.clock.now();
    try {
      const answer = await this.#ask(slot, part);
      this.#answers.set(part.start, answer);
      this.#record(worker, began, undefined, answer);
      return true;
    } catch (thrown) {
      this.#record(worker, began, errorOf(thrown), undefined);
      if (this.#abort.signal.aborted || !this.#mayRetry(thrown, worker, part)) throw thrown;
      this.#lastFailure = thrown;
      this.exchange.retries++;
      this.exchange.slotRequest.excluded ??= new Set();
      this.exchange.slotRequest.excluded.add(worker.connectionId);
      this.#again.push(part);
      return false;
    }
  }

  /** Counts a part for its worker: the exchange as a whole has no one worker to count for. */
  #record(worker: Worker, began: number, error: NfrxError | undefined, answer: PartAnswer | undefined): void {
    const { metrics, clock } = this.context;
    const now = clock.now();
    const ms = now - began;
    const items = answer?.items ?? 0;
    this.exchange.items += items;
    worker.recordUsage(now, ms, error, answer?.usage, items);
    metrics.part(this.exchange.request.series, worker.id, error?.code ?? "", ms / 1000, answer?.usage, items);
  }

  /**
   * True if a retry makes sense: the part was not processed, the machine was lost, or the backend is alive and gave no
   * valid response. A backend that died while processing the part is not retried: the next one would die too.
   */
  #mayRetry(thrown: unknown, worker: Worker, part: Part): boolean {
    if (thrown instanceof BackendAnswer) {
      const { status } = thrown.head;
      if (mayLackRoute(status) && lacksRoute(status, asText(thrown.body.subarray(0, NO_ROUTE_BYTES))))
        return this.context.pool.lacksRoute(worker, this.exchange.slotRequest);
      return (status >= 500 || status === 429) && ++part.failures <= REDISPATCHES;
    }
    if (thrown instanceof BadAnswer) return ++part.failures <= REDISPATCHES;
    const { code } = toNfrxError(thrown);
    if (code === "link_lost") return !worker.hasLostBackend && ++part.lost <= this.context.retryLost;
    return code === "refused" && ++part.failures <= REDISPATCHES;
  }

  async #ask(held: Slot, part: Part): Promise<PartAnswer> {
    const { endpoint, target, headers, access } = this.exchange.request;
    const { worker } = held;
    this.#abort.signal.throwIfAborted();
    const { body } = this.exchange.request;
    const whole = part.start === 0 && part.end === this.split.items;
    const bytes = whole ? body.bytes : this.split.part(part.start, part.end);
    const length = worker.upstream.canStreamUnknownLength ? bytes.length : undefined;
    // The slot is held by #work across its parts; an attempt gives back only what it took itself.
    const slot: Slot = { worker, report: verdict => held.report(verdict), release: () => {} };
    this.#workers.add(worker.id);
    access.workerId = [...this.#workers].join(",");
    const head = { method: endpoint.method, path: target, headers: withLength(headers, length) };
    const answer = await askWhole(
      {
        slot,
        head,
        body: bytes,
        signal: this.#abort.signal,
        onHead: answered => this.exchange.answered(answered),
        onBytes: more => this.#count(more),
        parent: access.span,
      },
      this.context,
    );
    if (answer.head.status !== OK) throw new BackendAnswer(answer.head, answer.body);
    if (whole) this.#whole = new BackendAnswer(answer.head, answer.body);
    try {
      return this.split.parse(answer.body, part.end - part.start);
    } catch (error) {
      // Of an answer that is not put together with others the client is the judge.
      if (whole) return { items: 0, usage: undefined, content: undefined };
      throw new BadAnswer(error);
    }
  }

  #count(more: number): void {
    this.#bytes += more;
    if (this.#bytes > FANOUT_ANSWER_BYTES)
      throw new NfrxError("upstream_error", `the response exceeds ${FANOUT_ANSWER_BYTES} bytes`);
  }
}
