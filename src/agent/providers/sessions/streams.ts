import type { Clock } from "../../../lib/time.ts";
import { SERVER_ERROR } from "../channels/message.ts";
import { EventStream } from "./event-stream.ts";
import { refuse } from "./http-rules.ts";
import { parseEventId, Replay } from "./replay.ts";
import { SSE_HEADERS, type SseBody } from "./sse-body.ts";

/** The stream that a client opens by GET. */
const STANDALONE = 0;

/** A client that listens. */
export interface StreamListener {
  /** The last event that it has seen, when it comes back. */
  lastEventId: string | undefined;
  /** It understands an event without data. */
  primed: boolean;
  signal: AbortSignal;
}

/** The streams of one session: one for each POST that is answered by events, and the one that a GET opens. */
export class SessionStreams {
  readonly standalone: EventStream;
  /** The client uses, or has used, GET. */
  listens = false;
  readonly #streams = new Map<number, EventStream>();
  readonly #full = new Set<SseBody>();
  readonly #replay: Replay;
  #next = STANDALONE;

  constructor(
    private readonly clock: Clock,
    private readonly events: {
      /** A client has left a stream. */
      left(): void;
      /** A client has stopped reading, or all are reading again. */
      slow(slow: boolean): void;
    },
  ) {
    this.#replay = new Replay(clock, number => {
      if (this.#streams.get(number)?.finished) this.#streams.delete(number);
    });
    this.standalone = this.open(true);
  }

  /** True if a client is connected. */
  get connected(): boolean {
    for (const stream of this.#streams.values()) if (stream.connected) return true;
    return false;
  }

  /** One more stream. */
  open(holds = false): EventStream {
    const events = {
      left: () => this.events.left(),
      full: (body: SseBody, full: boolean) => {
        if (full) this.#full.add(body);
        else this.#full.delete(body);
        this.events.slow(this.#full.size > 0);
      },
    };
    const stream = new EventStream(this.#next++, this.#replay, this.clock, events, holds);
    this.#streams.set(stream.number, stream);
    return stream;
  }

  /** Responds to a GET: opens the stream of server-initiated messages, or resumes a stream. */
  listen({ lastEventId, primed, signal }: StreamListener, more: Record<string, string>): Response {
    const headers = { ...SSE_HEADERS, ...more };
    if (lastEventId === undefined) {
      this.listens = true;
      return new Response(this.standalone.connect(signal, primed), { headers });
    }
    const seen = parseEventId(lastEventId);
    if (seen === undefined) return refuse(400, SERVER_ERROR, "Invalid event ID format");
    const stream = this.#streams.get(seen.stream);
    if (stream === undefined) return refuse(400, SERVER_ERROR, "The events of this stream are no longer stored");
    // The status that stops an event source from reconnecting.
    if (stream.finished && seen.count >= stream.count) return new Response(null, { status: 204 });
    this.listens ||= stream === this.standalone;
    return new Response(stream.resume(signal, seen.count), { headers });
  }

  /** Ends all of them. */
  finish(): void {
    for (const stream of this.#streams.values()) stream.finish();
    this.#replay.clear();
  }
}
