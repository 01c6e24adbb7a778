// From a worker's stream to a client's response.
import { asText } from "../../lib/bytes.ts";
import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import { hasContentType, headerOf } from "../../lib/http.ts";
import { NOSNIFF, responseHeaders } from "../../lib/response-headers.ts";
import { type Clock, pause, type Timer } from "../../lib/time.ts";
import type { ErrorShape } from "../../modules/module.ts";
import type { ResponseHead } from "../../protocol/frames.ts";
import type { Stream } from "../../protocol/stream.ts";
import { EventBorders } from "./borders.ts";
import { errorEvent } from "./errors.ts";
import { type Exchange, outward } from "./exchange.ts";
import { routingComment, routingHeaders } from "./routing.ts";
import { type Tap, tapFor } from "./tap.ts";

/** Milliseconds between the comments that keep a quiet event stream open through proxies. */
export const KEEP_ALIVE_MS = 15_000;
/** Milliseconds that the last bytes of an answer that is cut have to leave. */
const LAST_BYTES_MS = 50;
/** Bytes of a backend's error that are passed on inside an error event. */
const ERROR_BYTES = 64 * 1024;

const KEEP_ALIVE = Buffer.from(": keep-alive\n\n");
const EVENT_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
  [NOSNIFF[0]]: NOSNIFF[1],
};

export interface RespondContext {
  clock: Clock;
  errors: ErrorShape;
  /** Milliseconds between position events; 0 for none. */
  queueUpdateMs: number;
  /** Clients are told who served them and how long that took. */
  expose: boolean;
  /** Set for a relay, whose event streams may be quiet for hours and are never finished by anybody but their server. */
  relayed?: {
    /** Bytes of one answer, or of one event. */
    maxBytes: number;
  };
}

type Answer = { head: ResponseHead; stream: Stream };
type Controller = ReadableStreamDefaultController<Uint8Array>;

/** The worker's answer as it is: status, headers and bytes. */
export function passThrough(answer: Answer, exchange: Exchange, context: RespondContext): Response {
  const { head, stream } = answer;
  const { id, access, url } = exchange.request;
  const headers = responseHeaders(head.headers, id, url);
  if (context.expose) headers.push(...routingHeaders(exchange));
  const tap = tapFor(head, exchange);
  exchange.tap = tap;
  const form = formOf(head);
  if (form === "other")
    requireSmall(Math.max(stream.buffered, Number(headerOf(head.headers, "content-length") ?? 0)), context);
  access.status = head.status;
  if (stream.arrived) {
    const bytes = stream.take();
    access.bytesOut = bytes?.length ?? 0;
    if (bytes !== undefined && form === "events") requireSmall(new EventBorders().feed(bytes), context);
    if (bytes !== undefined) tap?.feed(bytes, true);
    exchange.close();
    return new Response(bytes ?? null, { status: head.status, headers });
  }
  const pump = new Pump(stream, exchange, context, tap, form);
  return new Response(pump.body(), { status: head.status, headers });
}

/**
 * An event stream that is opened before the worker has answered, because the client waits in the queue or the worker
 * thinks for long. What goes wrong from here on is told by an `error` event.
 */
export function committed(pending: Promise<Answer>, exchange: Exchange, context: RespondContext): Response {
  const opening = new Opening(exchange, context);
  let pump: Pump | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start: controller => opening.begin(controller),
      async pull(controller) {
        try {
          if (pump === undefined) {
            const answer = await pending.finally(() => opening.end());
            await requireEvents(answer);
            const tap = tapFor(answer.head, exchange);
            exchange.tap = tap;
            pump = new Pump(answer.stream, exchange, context, tap, "events");
            if (context.expose) put(controller, routingComment(exchange), exchange);
          }
        } catch (error) {
          finishWithError(controller, error, exchange, context);
          return;
        }
        await pump.pull(controller);
      },
      cancel() {
        opening.end();
        exchange.cancel();
      },
    },
    { highWaterMark: 0 },
  );
  const { id, access } = exchange.request;
  access.status = 200;
  const known = context.expose ? Object.fromEntries(routingHeaders(exchange)) : {};
  return new Response(body, { headers: { ...EVENT_HEADERS, ...known, "x-request-id": id } });
}

/** What a waiting client sees: its place in the queue, and comments. */
class Opening {
  #timer: Timer | undefined;
  #ended = false;

  constructor(
    private readonly exchange: Exchange,
    private readonly context: RespondContext,
  ) {}

  begin(controller: Controller): void {
    this.#tell(controller);
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #tell(controller: Controller): void {
    if (this.#ended) return;
    const { queueUpdateMs, clock } = this.context;
    const position = queueUpdateMs > 0 ? this.exchange.queuePosition : 0;
    // A client that does not read gets no more of this; nothing is lost.
    if ((controller.desiredSize ?? 0) > -MOST_UNREAD)
      put(controller, position > 0 ? this.#queueEvent(position) : KEEP_ALIVE, this.exchange);
    const next = position > 0 ? Math.min(queueUpdateMs, KEEP_ALIVE_MS) : KEEP_ALIVE_MS;
    this.#timer = clock.after(next, () => this.#tell(controller));
  }

  #queueEvent(position: number): Uint8Array {
    const { id, label } = this.exchange.request;
    const data = { type: "nfrx.queue", request_id: id, model: label.model, position, choices: [] };
    return Buffer.from(`event: nfrx.queue\ndata: ${JSON.stringify(data)}\n\n`);
  }
}

/** Position events and comments that may wait for a client that does not read. */
const MOST_UNREAD = 16;

/** What an answer's bytes are: events, events that nobody can read while they pass, or anything else. */
type Form = "events" | "packed events" | "other";

function formOf({ headers }: ResponseHead): Form {
  if (!hasContentType(headers, "text/event-stream")) return "other";
  const encoding = headerOf(headers, "content-encoding")?.trim().toLowerCase() ?? "identity";
  return encoding === "identity" || encoding === "" ? "events" : "packed events";
}

/** Moves a worker's body to a client, chunk by chunk as the client takes them. */
class Pump {
  #begun = false;
  readonly #borders = new EventBorders();
  /** Chunks so far. */
  #taken = 0;
  #keepAlive: Timer | undefined;

  constructor(
    private readonly stream: Stream,
    private readonly exchange: Exchange,
    private readonly context: RespondContext,
    private readonly tap: Tap | undefined,
    private readonly form: Form,
  ) {}

  body(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: controller => this.pull(controller),
        cancel: () => {
          this.#keepAlive?.cancel();
          this.exchange.cancel();
        },
      },
      { highWaterMark: 0 },
    );
  }

  async pull(controller: Controller): Promise<void> {
    const events = this.form === "events";
    if (!this.#begun && events && this.#keepAlive === undefined) {
      this.#startKeepAlive(controller);
      // Bun holds the end of the head back until something follows: who opens a stream to listen must hear that it is open.
      if (this.context.relayed !== undefined && this.stream.buffered === 0)
        return put(controller, KEEP_ALIVE, this.exchange);
    }
    try {
      const asked = this.context.clock.now();
      const bytes = await this.stream.read();
      this.#begun = true;
      if (bytes === null || this.context.relayed === undefined) this.#keepAlive?.cancel();
      if (bytes === null) {
        this.exchange.close();
        controller.close();
        return;
      }
      if (events && this.#taken > 0) this.exchange.waited(this.context.clock.now() - asked);
      this.exchange.touch();
      this.#taken++;
      this.tap?.feed(bytes);
      // Whether an event has ended the last bytes tell; its length, which needs all of them, matters to relays alone.
      if (events) requireSmall(this.#borders.feed(this.context.relayed ? bytes : bytes.subarray(-4)), this.context);
      else if (this.form === "other") requireSmall(this.exchange.request.access.bytesOut + bytes.length, this.context);
      put(controller, bytes, this.exchange);
    } catch (error) {
      this.#begun = true;
      this.#keepAlive?.cancel();
      if (events && this.context.relayed === undefined) {
        if (!this.#borders.between) put(controller, EVENT_BREAK, this.exchange);
        finishWithError(controller, error, this.exchange, this.context);
      } else {
        this.exchange.close(error);
        // Bun forgets what it has not written yet when a body fails.
        await pause(this.context.clock, LAST_BYTES_MS);
        // Resets the client's connection; Bun prints a trace for any reason but undefined.
        controller.error(undefined);
      }
    }
  }

  /** Comments between the head and the first event; afterwards a worker's bytes are its own, and a relay's as long as they come. */
  #startKeepAlive(controller: Controller): void {
    let seen = this.#taken;
    const arm = (): void => {
      this.#keepAlive = this.context.clock.after(KEEP_ALIVE_MS, () => {
        const read = (controller.desiredSize ?? 0) > -MOST_UNREAD;
        if (seen === this.#taken && this.#borders.between && read) put(controller, KEEP_ALIVE, this.exchange);
        seen = this.#taken;
        arm();
      });
    };
    arm();
  }
}

/** Throws when an answer, or one event of it, is larger than a relay passes on. */
function requireSmall(length: number, { relayed }: RespondContext): void {
  if (relayed !== undefined && length > relayed.maxBytes)
    throw new NfrxError("upstream_error", `the answer is larger than ${relayed.maxBytes} bytes`);
}

const EVENT_BREAK = Buffer.from("\n\n");

function finishWithError(controller: Controller, error: unknown, exchange: Exchange, context: RespondContext): void {
  // Only a client that is gone gets a clean end: a worker may say "canceled" too.
  const { signal, access } = exchange.request;
  const last = signal.aborted ? undefined : errorEvent(outward(toNfrxError(error)), context.errors);
  access.bytesOut += last?.length ?? 0;
  exchange.close(error);
  if (last !== undefined) controller.enqueue(last);
  controller.close();
}

/** Gives a client bytes of its answer. */
function put(controller: Controller, bytes: Uint8Array, exchange: Exchange): void {
  exchange.request.access.bytesOut += bytes.length;
  controller.enqueue(bytes);
}

/** Rejects when the answer to a request for events is something else: the backend's own words as the message. */
async function requireEvents({ head, stream }: Answer): Promise<void> {
  if (head.status === 200 && hasContentType(head.headers, "text/event-stream")) return;
  let text = "";
  for (let bytes = await stream.read(); bytes !== null && text.length < ERROR_BYTES; bytes = await stream.read()) {
    text += asText(bytes);
  }
  const code = head.status === 400 || head.status === 422 ? "invalid_request" : "upstream_error";
  const message = backendMessage(text);
  throw new NfrxError(code, message ?? `the backend answered with status ${head.status}`, {
    foreign: message !== undefined,
  });
}

/** The message of an OpenAI-shaped error body. */
function backendMessage(text: string): string | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null || !("error" in body)) return undefined;
    const { error } = body;
    if (typeof error === "string") return error;
    if (typeof error === "object" && error !== null && "message" in error && typeof error.message === "string")
      return error.message;
  } catch {
    // not JSON: the status has to do
  }
  return undefined;
}
