import { KEEP_ALIVE_MS } from "../../../lib/sse.ts";
import type { Clock, Timer } from "../../../lib/time.ts";
import { SERVER_ERROR } from "../channels/message.ts";
import { type Accepts, refuse } from "./http-rules.ts";
import { messageEvent, SSE_HEADERS, SseBody } from "./sse-body.ts";

/** Maximum unread events of one slow client of a shared server, in bytes. Beyond it the client is disconnected. */
const SHARED_UNREAD_BYTES = 32 * 1024 * 1024;

/**
 * The response to one request: JSON if the response is the first message, else an event stream, which also begins after
 * a period of silence.
 */
export class PostReply {
  readonly #head = Promise.withResolvers<Response>();
  readonly #quiet: Timer | undefined;
  #body: SseBody | undefined;
  #over = false;

  constructor(
    private readonly clock: Clock,
    private readonly accepts: Accepts,
    private readonly signal: AbortSignal,
    /** Called once if the client disconnects before the response. */
    private readonly onGone: () => void,
  ) {
    signal.addEventListener("abort", this.#left, { once: true });
    if (!accepts.json) this.#stream();
    else if (accepts.events) this.#quiet = clock.after(KEEP_ALIVE_MS, () => this.#stream(), true);
  }

  get response(): Promise<Response> {
    return this.#head.promise;
  }

  /** A message before the response; a client that accepts only JSON does not get it. */
  publish(text: string): void {
    if (this.#over || !this.accepts.events) return;
    const body = this.#stream();
    body.write(messageEvent(text));
    if (body.unread > SHARED_UNREAD_BYTES) body.cut(new Error("the client stopped reading"));
  }

  /** The response; `status` applies to JSON. */
  answer(text: string, status = 200): void {
    if (this.#over) return;
    this.#finish();
    if (this.#body === undefined) {
      this.#head.resolve(new Response(text, { status, headers: { "content-type": "application/json" } }));
      return;
    }
    this.#body.write(messageEvent(text));
    this.#body.end();
  }

  #stream(): SseBody {
    if (this.#body === undefined) {
      this.#quiet?.cancel();
      this.#body = new SseBody(this.clock, { gone: this.#left }, this.signal);
      this.#head.resolve(new Response(this.#body.stream, { headers: SSE_HEADERS }));
    }
    return this.#body;
  }

  readonly #left = (): void => {
    if (this.#over) return;
    this.#finish();
    // The body is not read.
    this.#head.resolve(refuse(499, SERVER_ERROR, "the client disconnected"));
    this.onGone();
  };

  #finish(): void {
    this.#over = true;
    this.#quiet?.cancel();
    this.signal.removeEventListener("abort", this.#left);
  }
}
