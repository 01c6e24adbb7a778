import { NfrxError } from "../../lib/errors.ts";
import { EVENT_STREAM } from "../../lib/response-headers.ts";
import { sseEvent } from "../../lib/sse.ts";
import { type Clock, every, type Timer } from "../../lib/time.ts";
import type { Access } from "../../modules/route.ts";
import { Shares } from "../http/access/shares.ts";

/** Interval between two states of the stream, in milliseconds. */
export const STATE_INTERVAL_MS = 2_000;
/** Time in milliseconds for which a state is reused as the first event of new streams. */
export const STATE_FRESH_MS = 250;
/** Maximum number of open state streams. Further ones get 503. */
export const STATE_LISTENERS_MAX = 1_000;
/** Maximum unread events of a state stream. Beyond it events are skipped; the next one contains the whole state. */
const UNREAD_MAX = 4;

interface StateListener {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  readonly access: Access;
}

/** The state as server-sent events: one at once, then every two seconds, read and written once for all listeners. */
export class StateStream {
  readonly #listeners = new Set<StateListener>();
  readonly #shares = new Shares(STATE_LISTENERS_MAX, "streams of the state");
  #timer: Timer | undefined;
  /** The last state that was read, or is being read, and when that began. */
  #last: { at: number; event: Promise<Uint8Array> } | undefined;
  #telling = false;

  constructor(
    private readonly clock: Clock,
    /** The state as JSON. */
    private readonly read: () => Promise<string>,
    private readonly onError: (error: unknown) => void,
  ) {}

  get listeners(): number {
    return this.#listeners.size;
  }

  /**
   * A response that goes on until the client leaves, which `signal` tells. Throws `overloaded` when too many listen already,
   * `limit_exceeded` when the caller has its share.
   */
  async open(signal: AbortSignal, access: Access, caller: string): Promise<Response> {
    const first = await this.#event(STATE_FRESH_MS);
    // The stream would not notice a client that disconnected meanwhile.
    if (signal.aborted) throw new NfrxError("canceled", "the client disconnected");
    const release = this.#shares.take(caller);
    const ended = access.streams();
    let mine: StateListener | undefined;
    const finish = (error: NfrxError): void => {
      if (mine !== undefined) this.#listeners.delete(mine);
      release();
      ended(error);
      if (this.#listeners.size === 0) this.close();
    };
    const body = new ReadableStream<Uint8Array>({
      start: controller => {
        mine = { controller, access };
        this.#listeners.add(mine);
        put(mine, first);
        access.onCut = error => {
          finish(error);
          controller.enqueue(
            Buffer.from(sseEvent(JSON.stringify({ error: error.code, message: error.message }), { event: "error" })),
          );
          controller.close();
        };
        this.#timer ??= every(this.clock, STATE_INTERVAL_MS, () => void this.#tell());
      },
      cancel: () => finish(new NfrxError("canceled", "the client disconnected")),
    });
    return new Response(body, {
      headers: { ...EVENT_STREAM, "x-request-id": access.id },
    });
  }

  /** Ends all streams. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#last = undefined;
  }

  /** The state as an event, at most `age` milliseconds old. */
  #event(age: number): Promise<Uint8Array> {
    const now = this.clock.now();
    if (this.#last !== undefined && now - this.#last.at <= age) return this.#last.event;
    const event = this.read().then(state => Buffer.from(sseEvent(state)));
    // After an error, the state is read again for the next request.
    event.catch(() => {
      if (this.#last?.event === event) this.#last = undefined;
    });
    this.#last = { at: now, event };
    return event;
  }

  async #tell(): Promise<void> {
    // One that takes longer than the interval is not overtaken by the next.
    if (this.#telling) return;
    this.#telling = true;
    try {
      const event = await this.#event(0);
      for (const listener of this.#listeners)
        if ((listener.controller.desiredSize ?? 0) > -UNREAD_MAX) put(listener, event);
    } catch (error) {
      this.onError(error);
    } finally {
      this.#telling = false;
    }
  }
}

function put({ controller, access }: StateListener, bytes: Uint8Array): void {
  access.bytesOut += bytes.length;
  controller.enqueue(bytes);
}
