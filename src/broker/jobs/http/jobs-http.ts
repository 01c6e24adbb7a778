import { NfrxError } from "../../../lib/errors.ts";
import type { Clock } from "../../../lib/time.ts";
import type { RouteCall } from "../../../modules/route.ts";
import { yieldToEventLoop } from "../queue/yield-to-event-loop.ts";
import { JobEventStream } from "./sse-response.ts";

/** The event streams of the jobs queue that are open. */
export class JobsHttp {
  readonly #streams = new Set<JobEventStream>();
  #closing = false;

  constructor(private readonly clock: Clock) {}

  /** True when streams end because the broker stops. */
  get closing(): boolean {
    return this.#closing;
  }

  /** A stream of events for a caller, which ends with its connection. */
  open({ request: { signal }, access }: RouteCall): JobEventStream {
    const stream = new JobEventStream(this.clock, signal, access);
    if (stream.ended.aborted) return stream;
    this.#streams.add(stream);
    stream.ended.addEventListener("abort", () => this.#streams.delete(stream), { once: true });
    return stream;
  }

  /** Ends every stream after its written data. */
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

/** The job that a path names. */
export function idOf({ params }: Pick<RouteCall, "params">): string {
  return params["id"] ?? "";
}
