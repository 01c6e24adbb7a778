import { NfrxError } from "../../../lib/errors.ts";
import { EVENT_STREAM } from "../../../lib/response-headers.ts";
import { KEEP_ALIVE, KEEP_ALIVE_MS, sseEvent } from "../../../lib/sse.ts";
import { type Clock, every, type Timer } from "../../../lib/time.ts";
import type { Access } from "../../../modules/route.ts";
import { JOB_UNREAD_BYTES } from "../limits.ts";

/** High-water mark of the stream, in bytes: it pulls when it is empty. */
const EMPTY = 1;

/** A response of server-sent events that we write when there is something to write, and that a comment keeps open. */
export class JobEventStream {
  readonly response: Response;
  /** Aborts when the stream has ended. */
  readonly ended: AbortSignal;
  readonly #end = new AbortController();
  readonly #beat: Timer;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #drained: PromiseWithResolvers<void> | undefined;
  readonly #accessEnded: (error?: NfrxError) => void;
  #left = 0;

  constructor(
    clock: Clock,
    signal: AbortSignal,
    /** Called at its end. */
    private readonly access: Access,
  ) {
    this.#accessEnded = access.streams();
    access.onCut = error => {
      this.send(sseEvent(JSON.stringify({ error: error.code, message: error.message }), { event: "error" }));
      this.#finish(error);
      this.#controller?.close();
    };
    const body = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller;
        },
        pull: () => this.#drained?.resolve(),
        cancel: () => this.#leave(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: EMPTY }),
    );
    this.ended = this.#end.signal;
    this.#beat = every(clock, KEEP_ALIVE_MS, () => this.send(KEEP_ALIVE));
    if (signal.aborted) this.#leave();
    else signal.addEventListener("abort", () => this.#leave(), { once: true });
    this.response = new Response(body, {
      headers: { ...EVENT_STREAM, "x-request-id": access.id },
    });
  }

  /** Bytes that the client has not taken. */
  get unread(): number {
    return this.ended.aborted ? this.#left : this.#waiting;
  }

  /** Writes; a client that leaves too much unread is cut off. */
  send(text: string): void {
    if (this.ended.aborted) return;
    if (this.#waiting >= JOB_UNREAD_BYTES) {
      this.#finish(new NfrxError("canceled", "the client stopped reading"));
      // Bun prints a trace for any reason but undefined.
      this.#controller?.error(undefined);
      return;
    }
    const bytes = Buffer.from(text);
    this.access.bytesOut += bytes.length;
    this.#controller?.enqueue(bytes);
  }

  /** Resolves when the client has taken all there is, or the stream has ended. */
  async drained(): Promise<void> {
    while (!this.ended.aborted && this.#waiting > 0) {
      this.#drained = Promise.withResolvers();
      await this.#drained.promise;
    }
  }

  /** Ends it after the written data. */
  close(): void {
    if (this.ended.aborted) return;
    this.#finish();
    this.#controller?.close();
  }

  get #waiting(): number {
    return EMPTY - (this.#controller?.desiredSize ?? EMPTY);
  }

  #leave(): void {
    this.#finish(new NfrxError("canceled", "the client disconnected"));
  }

  #finish(error?: NfrxError): void {
    if (this.ended.aborted) return;
    this.#accessEnded(error);
    this.#left = this.#waiting;
    this.#beat.cancel();
    this.#end.abort();
    this.#drained?.resolve();
  }
}
