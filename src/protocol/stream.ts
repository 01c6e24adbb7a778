import { NfrxError } from "../lib/errors.ts";
import type { Head, RequestHead, ResponseHead } from "./frames.ts";
import { DATA_MAX, STREAM_WINDOW_MAX } from "./limits.ts";

/** What a stream asks of the connection it runs on. */
export interface StreamPort {
  /** The stream has something to send. */
  ready(stream: Stream): void;
  /** The application has taken `bytes` of body, so the peer may send as many more. */
  consumed(stream: Stream, bytes: number): void;
  /** This end gives the stream up; the peer has to be told. */
  abandon(stream: Stream, error: NfrxError): void;
  /** Both directions are over. */
  finished(stream: Stream): void;
}

/**
 * One HTTP exchange on a link, the same at both ends: a head and a body each way. The end that opened it sends the
 * request; the other the response. Everything that can go wrong — a reset from either side, a lost link — rejects
 * whatever is waiting here with one NfrxError, and `reset` is the one way to give up.
 */
export class Stream {
  readonly out = new Outbox();
  readonly window: ReceiveWindow;

  #failure: NfrxError | undefined;
  #head: Head | undefined;
  #headWaiter: PromiseWithResolvers<Head> | undefined;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  #reader: PromiseWithResolvers<Uint8Array | null> | undefined;
  #inEnded = false;
  #finished = false;
  #deaf = false;
  #onClose: (() => void) | undefined;

  constructor(
    readonly id: number,
    private readonly port: StreamPort,
    window: number,
    /** On a link that knows no credit: bytes that may wait here unread. */
    private readonly bufferLimit = Number.POSITIVE_INFINITY,
  ) {
    this.window = new ReceiveWindow(window);
  }

  // ---- the application's side -------------------------------------------------------------------------------------

  /** Why this stream is over before its time, once it is. */
  get failure(): NfrxError | undefined {
    return this.#failure;
  }

  /** True once the peer's whole body has arrived, read or not. */
  get arrived(): boolean {
    return this.#inEnded;
  }

  /** True once both directions ended or the stream failed. */
  get closed(): boolean {
    return this.#finished || this.#failure !== undefined;
  }

  /** Calls `run` once when the stream is over, however it ended. */
  onClose(run: () => void): void {
    if (this.closed) run();
    else this.#onClose = run;
  }

  /** The peer's head. Rejects when the stream fails first. */
  head(): Promise<Head> {
    if (this.#head !== undefined) return Promise.resolve(this.#head);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#headWaiter ??= Promise.withResolvers();
    return this.#headWaiter.promise;
  }

  /** Sends this end's head; `end` says that no body follows. Does nothing on a stream that is over. */
  sendHead(head: RequestHead | ResponseHead, end = false): void {
    if (this.closed) return;
    this.out.head = head;
    this.out.ended = end;
    this.port.ready(this);
  }

  /**
   * Queues body bytes. Resolves when they have left for the socket, so awaiting it is the backpressure; the bytes must
   * not be changed until then. Rejects when the stream fails.
   */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (bytes.length === 0 || this.#finished) return Promise.resolve();
    this.out.push(bytes);
    this.port.ready(this);
    return this.out.flushed();
  }

  /** Ends this direction, after `last` when given. What is still queued leaves first. */
  end(last?: Uint8Array): void {
    if (this.closed || this.out.ended) return;
    if (last !== undefined && last.length > 0) this.out.push(last);
    this.out.ended = true;
    this.port.ready(this);
  }

  /**
   * The next bytes of the peer's body, or null at its end: all that have arrived when they are few, of many the first, as
   * they came, for joining megabytes would cost as much again. One reader at a time.
   */
  read(): Promise<Uint8Array | null> {
    const bytes = this.#buffered > DATA_MAX ? this.#takeSome() : this.take();
    if (bytes !== undefined) return Promise.resolve(bytes);
    if (this.#inEnded) return Promise.resolve(null);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#reader = Promise.withResolvers();
    return this.#reader.promise;
  }

  /** All that has arrived and is unread, or undefined when that is nothing. */
  take(): Uint8Array | undefined {
    if (this.#buffered === 0) return undefined;
    const chunks = this.#chunks;
    const bytes = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, this.#buffered);
    this.#chunks = [];
    this.#buffered = 0;
    this.port.consumed(this, bytes.length);
    return bytes;
  }

  /** The first chunk, with the next ones as long as they fit into DATA_MAX together. */
  #takeSome(): Uint8Array {
    let count = 0;
    let length = 0;
    for (const chunk of this.#chunks) {
      if (count > 0 && length + chunk.length > DATA_MAX) break;
      count++;
      length += chunk.length;
    }
    const chunks = this.#chunks.splice(0, count);
    this.#buffered -= length;
    this.port.consumed(this, length);
    return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, length);
  }

  /** Wants no more of the peer's body: what this end still has to send leaves, then the peer is told to stop. */
  stopReading(): void {
    this.#deaf = true;
    this.settle();
  }

  /** Gives the exchange up in both directions and tells the peer. Harmless when it is already over. */
  reset(error: NfrxError): void {
    if (this.closed) return;
    // A body whose rest is dropped here must not look whole to whoever reads on.
    if (this.#buffered > 0) this.#inEnded = false;
    this.#chunks = [];
    this.#buffered = 0;
    this.port.abandon(this, error);
    this.fail(error);
  }

  // ---- the link's side --------------------------------------------------------------------------------------------

  get buffered(): number {
    return this.#buffered;
  }

  get headArrived(): boolean {
    return this.#head !== undefined;
  }

  deliverHead(head: Head, end: boolean): void {
    this.#head = head;
    this.#inEnded = end;
    this.#headWaiter?.resolve(head);
    this.#headWaiter = undefined;
    if (end) this.#allArrived();
  }

  /**
   * Takes body bytes. They may be a view into a message of `keeps` bytes: to be kept they are copied when that would keep
   * much more than themselves alive.
   */
  deliverData(bytes: Uint8Array, end: boolean, keeps = bytes.length): void {
    this.#inEnded ||= end;
    if (bytes.length > 0) {
      if (this.#reader !== undefined && this.#buffered === 0) {
        const reader = this.#reader;
        this.#reader = undefined;
        this.port.consumed(this, bytes.length);
        reader.resolve(bytes);
      } else if (this.#buffered + bytes.length > this.bufferLimit) {
        this.reset(
          new NfrxError("too_large", `more than ${this.bufferLimit} bytes wait unread on a connection without credit`),
        );
        return;
      } else {
        this.#chunks.push(bytes.length * 2 < keeps ? Buffer.from(bytes) : bytes);
        this.#buffered += bytes.length;
      }
    }
    if (end) this.#allArrived();
  }

  /** The peer or the link ended the stream. Bytes that arrived before stay readable; then the error comes. */
  fail(error: NfrxError): void {
    if (this.closed) return;
    this.#failure = error;
    this.out.fail(error);
    this.#headWaiter?.promise.catch(() => {});
    this.#headWaiter?.reject(error);
    this.#headWaiter = undefined;
    this.#reader?.reject(error);
    this.#reader = undefined;
    this.#closedNow();
  }

  /** Called when a direction ended; finishes the stream when it was the second one. */
  settle(): void {
    if (this.closed || !this.out.sent) return;
    if (!this.#inEnded) {
      if (this.#deaf) this.reset(new NfrxError("canceled", "the rest of the body is not wanted"));
      return;
    }
    this.#finished = true;
    this.port.finished(this);
    this.#closedNow();
  }

  #allArrived(): void {
    this.#reader?.resolve(null);
    this.#reader = undefined;
    this.settle();
  }

  #closedNow(): void {
    const run = this.#onClose;
    this.#onClose = undefined;
    run?.();
  }
}

/** What one direction still has to send. */
export class Outbox {
  head: Head | undefined;
  /** The application has said that nothing follows. */
  ended = false;
  /** The last byte and the end have left. */
  sent = false;
  /** Bytes the peer has allowed and we have not used. */
  credit = 0;

  #chunks: Uint8Array[] = [];
  #offset = 0;
  #bytes = 0;
  #waiter: PromiseWithResolvers<void> | undefined;

  get bytes(): number {
    return this.#bytes;
  }

  /** True when a turn now would send something. */
  get sendable(): boolean {
    return this.head !== undefined || (this.#bytes > 0 ? this.credit > 0 : this.ended && !this.sent);
  }

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Up to `max` bytes from the front, as a view. */
  next(max: number): Uint8Array {
    const chunk = this.#chunks[0];
    if (chunk === undefined || max <= 0) return NOTHING;
    // Most chunks leave whole; a view of them would cost as much as copying them.
    const whole = this.#offset === 0 && chunk.length <= max;
    const bytes = whole ? chunk : chunk.subarray(this.#offset, this.#offset + max);
    this.#offset += bytes.length;
    this.#bytes -= bytes.length;
    if (this.#offset === chunk.length) {
      this.#chunks.shift();
      this.#offset = 0;
    }
    return bytes;
  }

  /** Wakes the writer. Called once the bytes handed out by `next` have been copied out. */
  drained(): void {
    if (this.#bytes > 0) return;
    this.#waiter?.resolve();
    this.#waiter = undefined;
  }

  flushed(): Promise<void> {
    if (this.#bytes === 0) return Promise.resolve();
    this.#waiter ??= Promise.withResolvers();
    return this.#waiter.promise;
  }

  fail(error: NfrxError): void {
    this.head = undefined;
    this.ended = false;
    this.#chunks = [];
    this.#bytes = 0;
    this.#waiter?.promise.catch(() => {});
    this.#waiter?.reject(error);
    this.#waiter = undefined;
  }
}

const NOTHING = new Uint8Array(0);

/** How many bytes the peer may still send us on one stream, and when to tell it of more. */
export class ReceiveWindow {
  /** Bytes read by the application and not yet given back. */
  #read = 0;
  #left: number;
  #lastUpdate = 0;

  constructor(public size: number) {
    this.#left = size;
  }

  /** Takes arrived bytes off; false when the peer sent more than it was allowed. */
  arrive(bytes: number): boolean {
    this.#left -= bytes;
    return this.#left >= 0;
  }

  /**
   * Counts bytes that were read; returns the credit to give back, 0 for none yet. The window doubles, as far as `grow`
   * allows, when half of it was read within two round trips: then the window, not the reader, is what limits the stream.
   */
  read(bytes: number, now: number, roundTripMs: number, grow: (by: number) => number): number {
    this.#read += bytes;
    if (this.#read * 2 < this.size) return 0;
    let credit = this.#read;
    if (this.#lastUpdate > 0 && now - this.#lastUpdate < 2 * roundTripMs) {
      const more = grow(Math.min(this.size, STREAM_WINDOW_MAX - this.size));
      this.size += more;
      credit += more;
    }
    this.#lastUpdate = now;
    this.#read = 0;
    this.#left += credit;
    return credit;
  }
}
