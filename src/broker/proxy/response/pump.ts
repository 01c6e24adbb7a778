// Moves a worker's body to a client, chunk by chunk as the client takes them.

import { NfrxError, toNfrxError } from "../../../lib/errors.ts";
import type { ContentHeaders } from "../../../lib/http.ts";
import type { ResponsePolicy } from "../../../lib/response-headers.ts";
import { KEEP_ALIVE, KEEP_ALIVE_MS } from "../../../lib/sse.ts";
import { SseEventBoundary } from "../../../lib/sse-event-boundary.ts";
import { type Clock, pause, type Timer } from "../../../lib/time.ts";
import type { Exchange } from "../exchange.ts";
import { outward } from "../failure.ts";
import type { ByteSource } from "./decode.ts";
import { SequenceScan } from "./sequence.ts";
import { type ErrorForm, errorEvent, errorLine } from "./stream-error.ts";
import type { Tap } from "./tap.ts";

export interface RespondContext extends ErrorForm {
  clock: Clock;
  policy: ResponsePolicy;
  /** Milliseconds between position events; 0 for none. */
  queueUpdateMs: number;
  /** Clients get the name of the worker and the duration. */
  expose: boolean;
  /** Set for a relay, whose event streams may be idle for hours and end only at the server's initiative. */
  relayed?: {
    /** Bytes of one answer, or of one event. */
    maxBytes: number;
  };
}

/** Time in milliseconds for the last bytes of an aborted response to be sent. */
const LAST_BYTES_MS = 50;
/** Maximum number of unread position events and comments. */
const MOST_UNREAD = 16;

export const QUIET = Buffer.from(KEEP_ALIVE);
const EVENT_BREAK = Buffer.from("\n\n");
const LINE_BREAK = Buffer.from("\n");
const LF = 0x0a;

export type Controller = ReadableStreamDefaultController<Uint8Array>;

/**
 * Format of a response's bytes: events, encoded events that cannot be read in passing, lines of JSON that may end with
 * an error, or other data.
 */
export type Form = "events" | "packed events" | "lines" | "other";

export function formOf(content: ContentHeaders, { errors }: ErrorForm): Form {
  const events = content.type === "text/event-stream";
  if (!events && (errors !== "ollama" || content.type !== "application/x-ndjson")) return "other";
  const encoding = content.encoding?.trim().toLowerCase() ?? "identity";
  if (encoding !== "identity" && encoding !== "") return events ? "packed events" : "other";
  return events ? "events" : "lines";
}

export class Pump {
  readonly #boundary = new SseEventBoundary();
  readonly #sequence: SequenceScan | undefined;
  /** Chunks so far. */
  #taken = 0;
  /** When the last chunk came, or the client began to listen. */
  #lastAt = 0;
  /** The last byte so far. */
  #last = LF;
  #keepAlive: Timer | undefined;

  constructor(
    private readonly source: ByteSource,
    private readonly exchange: Exchange,
    private readonly context: RespondContext,
    private readonly tap: Tap | undefined,
    private readonly form: Form,
  ) {
    this.#sequence = context.stream?.errorEvent === "response" ? new SequenceScan() : undefined;
  }

  body(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: controller => this.pull(controller),
        cancel: () => {
          this.stop();
          this.exchange.cancel();
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Writes no more comments. */
  stop(): void {
    this.#keepAlive?.cancel();
  }

  async pull(controller: Controller): Promise<void> {
    const { clock, relayed } = this.context;
    const events = this.form === "events";
    const asked = clock.now();
    if (events && this.#keepAlive === undefined) {
      this.#lastAt = asked;
      this.#startKeepAlive(controller);
      // Bun holds back the end of the head until data follows: a client that opens a stream must see that it is open.
      if (relayed !== undefined && this.source.buffered === 0) return put(controller, QUIET, this.exchange);
    }
    try {
      const bytes = await this.source.read();
      if (bytes === null) {
        this.stop();
        this.exchange.ended();
        controller.close();
        return;
      }
      if (events) {
        this.#lastAt = clock.now();
        if (this.#taken > 0) this.exchange.waited(this.#lastAt - asked);
      }
      this.exchange.touch();
      this.#taken++;
      this.tap?.feed(bytes);
      this.#sequence?.feed(bytes);
      this.#last = bytes.at(-1) ?? this.#last;
      // Whether an event has ended the last bytes tell; its length, which needs all of them, matters to relays alone.
      if (events) requireSmall(this.#boundary.feed(relayed ? bytes : bytes.subarray(-4)), this.context);
      else if (this.form === "other") requireSmall(this.exchange.request.access.bytesOut + bytes.length, this.context);
      put(controller, bytes, this.exchange);
    } catch (thrown) {
      this.stop();
      await this.#fail(controller, thrown);
    }
  }

  /** Ends a stream with its error if the format allows it, otherwise resets the connection. */
  async #fail(controller: Controller, thrown: unknown): Promise<void> {
    const { exchange, context } = this;
    const error = toNfrxError(thrown);
    if (this.form === "events" && context.relayed === undefined) {
      if (!this.#boundary.between) put(controller, EVENT_BREAK, exchange);
      return finish(controller, exchange, error, errorEvent(outward(error), context, this.#sequence?.next));
    }
    if (this.form === "lines") {
      if (this.#last !== LF) put(controller, LINE_BREAK, exchange);
      return finish(controller, exchange, error, errorLine(outward(error), context));
    }
    exchange.ended(error);
    // Bun drops unwritten data when a body fails.
    await pause(context.clock, LAST_BYTES_MS);
    // Resets the client's connection; Bun prints a trace for any reason but undefined.
    controller.error(undefined);
  }

  /** Comments while the worker is silent, before its first event and between two. */
  #startKeepAlive(controller: Controller): void {
    const arm = (ms: number): void => {
      this.#keepAlive = this.context.clock.after(ms, () => {
        const silent = this.context.clock.now() - this.#lastAt;
        if (silent >= KEEP_ALIVE_MS && this.#boundary.between && isRead(controller))
          put(controller, QUIET, this.exchange);
        arm(silent >= KEEP_ALIVE_MS ? KEEP_ALIVE_MS : KEEP_ALIVE_MS - silent);
      });
    };
    arm(KEEP_ALIVE_MS);
  }
}

/** Throws when an answer, or one event of it, is larger than a relay passes on. */
export function requireSmall(length: number, { relayed }: RespondContext): void {
  if (relayed !== undefined && length > relayed.maxBytes)
    throw new NfrxError("upstream_error", `the response exceeds ${relayed.maxBytes} bytes`);
}

/** Ends a stream with its error as the last event, and the exchange with it. */
export function finish(controller: Controller, exchange: Exchange, error: NfrxError, event: Uint8Array): void {
  const { signal, access } = exchange.request;
  // Only a disconnected client gets a clean end: a worker can send "canceled" too.
  const last = signal.aborted ? undefined : event;
  access.bytesOut += last?.length ?? 0;
  exchange.ended(error);
  if (last !== undefined) controller.enqueue(last);
  controller.close();
}

/** Gives a client bytes of its answer. */
export function put(controller: Controller, bytes: Uint8Array, exchange: Exchange): void {
  exchange.request.access.bytesOut += bytes.length;
  controller.enqueue(bytes);
}

/** False when a client has left so much unread that comments would only pile up. */
export function isRead(controller: Controller): boolean {
  return (controller.desiredSize ?? 0) > -MOST_UNREAD;
}
