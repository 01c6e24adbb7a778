import type { Drain } from "../../../lib/drain.ts";
import { NfrxError, toNfrxError } from "../../../lib/errors.ts";
import type { Clock } from "../../../lib/time.ts";
import type { Access } from "../../../modules/route.ts";
import { refuseUpload } from "../../http/body/refuse.ts";
import type { Checked } from "../../http/checks.ts";
import { countRefusal } from "../../http/count-refusal.ts";
import { errorResponse } from "../../http/error-response.ts";
import type { BrokerMetrics } from "../../observe/metrics.ts";
import type { CallerOf } from "../../shares.ts";
import { yieldToEventLoop } from "../queue/yield-to-event-loop.ts";
import { EventStream } from "./sse-response.ts";

/** A request to a route, and where it comes from. */
export interface JobCall {
  readonly request: Request;
  readonly access: Access;
  readonly peer: () => string;
  /** Lets the connection be quiet for as long as it likes. */
  readonly disableIdleTimeout: () => void;
  /** The job's id in the path. */
  readonly id: string;
}

export interface JobsHttpOptions {
  readonly callerOf: CallerOf;
  readonly drain: Drain;
  readonly clock: Clock;
  readonly metrics: BrokerMetrics;
}

/** What all routes of the jobs queue share: who may call, what a failure looks like, and the streams that are open. */
export class JobsHttp {
  readonly #streams = new Set<EventStream>();
  #closing = false;

  constructor(private readonly options: JobsHttpOptions) {}

  /** True when streams end because the broker stops. */
  get closing(): boolean {
    return this.#closing;
  }

  /** Whom what a call takes counts for. */
  callerOf({ request, peer }: JobCall): string {
    return this.options.callerOf(request.headers, peer());
  }

  /** An answer that a shutdown waits for. */
  counted(door: Checked, call: JobCall, work: () => Promise<Response>): Promise<Response> {
    return this.answer(door, call, async () => {
      const leave = this.options.drain.join();
      try {
        return await work();
      } finally {
        leave();
      }
    });
  }

  /** What `work` answers to who may pass the door; an error, in the API's shape, to all else. */
  async answer(door: Checked, { request, peer, access }: JobCall, work: () => Promise<Response>): Promise<Response> {
    try {
      door.check(request.headers, peer);
      return await work();
    } catch (thrown) {
      const error = toNfrxError(thrown);
      countRefusal(this.options.metrics, error);
      // The API has one word for a state that is not there and for one that cannot be.
      const word = error.code === "unknown_state" ? "invalid_state" : error.code;
      const answer = errorResponse(error, "plain", access.id, { error: word, message: error.message });
      access.answered(answer);
      access.end(error);
      return refuseUpload(answer, request, this.options.clock);
    }
  }

  /** A stream of events for whoever has called, which ends with its connection. */
  open({ request: { signal }, access }: JobCall): EventStream {
    const stream = new EventStream(this.options.clock, signal, access);
    if (stream.ended.aborted) return stream;
    this.#streams.add(stream);
    stream.ended.addEventListener("abort", () => this.#streams.delete(stream), { once: true });
    return stream;
  }

  /** Ends every stream behind what has been written to it, and lets that leave. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const stream of [...this.#streams]) stream.close();
    await yieldToEventLoop();
  }
}

/** Elysia asks for HEAD, too; to look must neither claim a job nor keep one alive. */
export function requireGet({ method }: Request): void {
  if (method !== "GET") throw new NfrxError("method_not_allowed", `${method} cannot be used for streams`);
}

/** An answer that is JSON already. */
export function json(text: string): Response {
  return new Response(text, { headers: { "content-type": "application/json" } });
}
