import { sseEvent } from "../../../lib/sse.ts";
import type { Clock } from "../../../lib/time.ts";
import { eventId, type Replay } from "./replay.ts";
import { messageEvent, SseBody } from "./sse-body.ts";

/** Maximum events buffered until a client opens its stream; the oldest are dropped first. */
const WAITING_EVENTS = 256;
/** Maximum size of these events, in bytes. */
const WAITING_BYTES = 1024 * 1024;

/**
 * The events of one stream of a session: published events go to the connected client and are stored for clients that
 * resume.
 */
export class EventStream {
  #count = 0;
  #body: SseBody | undefined;
  #finished = false;
  /** Undelivered events, if `holds`. */
  readonly #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  constructor(
    readonly number: number,
    private readonly replay: Replay,
    private readonly clock: Clock,
    private readonly events: {
      /** A client has left, by itself or because it was too slow. */
      left(stream: EventStream): void;
      full(body: SseBody, full: boolean): void;
    },
    /** Stores undelivered events until a client connects, not only for clients that resume. */
    private readonly holds = false,
  ) {}

  get connected(): boolean {
    return this.#body !== undefined;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Where the stream stands. */
  get count(): number {
    return this.#count;
  }

  publish(text: string): void {
    const count = ++this.#count;
    const bytes = messageEvent(text, eventId(this.number, count));
    this.replay.add(this.number, count, bytes);
    if (this.#body !== undefined) this.#body.write(bytes);
    else if (this.holds) this.#hold(bytes);
  }

  /**
   * A body for a client that is new to the stream. It takes the place of one that is still connected: a client that has
   * lost its connection comes back before we hear of the loss.
   */
  connect(signal: AbortSignal, primed: boolean): ReadableStream<Uint8Array> {
    this.#replace();
    const body = this.#open(signal);
    // An event with an id and nothing else, by which a stream can be taken up again before anything has come.
    const id = eventId(this.number, this.#count - this.#waiting.length);
    if (primed) body.write(Buffer.from(sseEvent("", { id })));
    for (const bytes of this.#waiting.splice(0)) body.write(bytes);
    this.#waitingBytes = 0;
    return body.stream;
  }

  /** A body for a client that has seen the stream up to its `count`-th event; one that is still connected is cut off. */
  resume(signal: AbortSignal, count: number): ReadableStream<Uint8Array> {
    this.#replace();
    const body = this.#open(signal);
    this.#waiting.length = this.#waitingBytes = 0;
    for (const { bytes } of this.replay.after(this.number, count)) body.write(bytes);
    if (this.#finished) this.#end();
    return body.stream;
  }

  /** Nothing more will be published. */
  finish(): void {
    this.#finished = true;
    this.#end();
  }

  #end(): void {
    const body = this.#body;
    this.#body = undefined;
    body?.end();
  }

  #replace(): void {
    this.#body?.cut(new Error("another connection resumed this stream"));
  }

  #open(signal: AbortSignal): SseBody {
    const body: SseBody = new SseBody(
      this.clock,
      {
        gone: () => {
          if (this.#body !== body) return;
          this.#body = undefined;
          this.events.left(this);
        },
        full: full => this.events.full(body, full),
      },
      signal,
    );
    if (!signal.aborted) this.#body = body;
    return body;
  }

  #hold(bytes: Uint8Array): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    while (this.#waiting.length > WAITING_EVENTS || (this.#waitingBytes > WAITING_BYTES && this.#waiting.length > 1)) {
      this.#waitingBytes -= this.#waiting.shift()?.length ?? 0;
    }
  }
}
