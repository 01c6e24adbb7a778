import { KEEP_ALIVE, KEEP_ALIVE_MS, sseEvent } from "../../../lib/sse.ts";
import { type Clock, every, type Timer } from "../../../lib/time.ts";

/** Unread events of a slow client at which reading from its server pauses, in bytes. */
export const SSE_HIGH_WATER = 1024 * 1024;
/** Time in milliseconds after which a client that reads nothing is disconnected. */
const SSE_STALL_MS = 30_000;

export interface BodyEvents {
  /** The client disconnected or was disconnected. Reported once, and not after `end`. */
  gone(): void;
  /** More than SSE_HIGH_WATER waits (true), or no longer so. */
  full?(full: boolean): void;
}

/** The body of an event stream: written data waits until the client reads it. */
export class SseBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #queue: Uint8Array[] = [];
  #unread = 0;
  #full = false;
  #over: { error?: unknown } | undefined;
  #wake: (() => void) | undefined;
  /** Settled once a full stream has room again. */
  #room: PromiseWithResolvers<void> | undefined;
  #stall: Timer | undefined;
  readonly #keepAlive: Timer;

  constructor(
    private readonly clock: Clock,
    private readonly events: BodyEvents,
    signal?: AbortSignal,
  ) {
    this.stream = new ReadableStream<Uint8Array>(
      { pull: controller => this.#pull(controller), cancel: () => this.#lost() },
      { highWaterMark: 0 },
    );
    this.#keepAlive = every(clock, KEEP_ALIVE_MS, () => {
      if (this.#queue.length === 0) this.write(QUIET);
    });
    // A client that disconnected before the start is not reported.
    if (signal?.aborted) this.#finish({});
    else signal?.addEventListener("abort", () => this.#lost(), { once: true });
  }

  /** Bytes that wait for the client. */
  get unread(): number {
    return this.#unread;
  }

  /** Resolves once no more than SSE_HIGH_WATER waits for the client, or the stream is over: when it makes sense to write on. */
  async room(): Promise<void> {
    if (!this.#full) return;
    this.#room ??= Promise.withResolvers();
    await this.#room.promise;
  }

  write(bytes: Uint8Array): void {
    if (this.#over !== undefined) return;
    this.#queue.push(bytes);
    this.#unread += bytes.length;
    if (this.#unread > SSE_HIGH_WATER) this.#setFull(true);
    this.#wake?.();
  }

  /** Ends the stream after the waiting data. */
  end(): void {
    this.#finish({});
  }

  /** Disconnects the client; waiting data is dropped. */
  cut(error: unknown): void {
    if (this.#over !== undefined) return;
    this.#drop();
    this.#finish({ error });
    this.events.gone();
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        this.#unread -= next.length;
        this.#stall?.cancel();
        this.#stall = undefined;
        if (this.#unread <= SSE_HIGH_WATER) this.#setFull(false);
        else this.#watch();
        return controller.enqueue(next);
      }
      if (this.#over !== undefined)
        return "error" in this.#over ? controller.error(this.#over.error) : controller.close();
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
      this.#wake = undefined;
    }
  }

  #lost(): void {
    this.#drop();
    if (this.#over !== undefined) return;
    this.#finish({});
    this.events.gone();
  }

  #drop(): void {
    this.#queue.length = 0;
    this.#unread = 0;
  }

  #finish(how: { error?: unknown }): void {
    if (this.#over !== undefined) return;
    this.#over = how;
    this.#keepAlive.cancel();
    this.#setFull(false);
    this.#wake?.();
  }

  #setFull(full: boolean): void {
    if (full === this.#full) return;
    this.#full = full;
    if (full) {
      this.#watch();
    } else {
      this.#stall?.cancel();
      this.#stall = undefined;
      this.#room?.resolve();
      this.#room = undefined;
    }
    this.events.full?.(full);
  }

  #watch(): void {
    this.#stall ??= this.clock.after(SSE_STALL_MS, () => this.cut(new Error("the client stopped reading")), true);
  }
}

const QUIET = Buffer.from(KEEP_ALIVE);

/** A message as an event; its id may be missing. */
export function messageEvent(text: string, id?: string): Uint8Array {
  return Buffer.from(sseEvent(text, { event: "message", ...(id !== undefined && { id }) }));
}

/** The headers of every event stream. */
export const SSE_HEADERS: Readonly<Record<string, string>> = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};
