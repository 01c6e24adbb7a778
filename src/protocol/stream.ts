import { discard } from "../lib/bytes.ts";
import { NfrxError } from "../lib/errors.ts";
import { Outbox, ReceiveWindow } from "./flow.ts";
import type { Head, RequestHead, ResponseHead } from "./frames.ts";
import { DATA_MAX } from "./limits.ts";

/** The interface of a stream to its connection. */
export interface StreamPort {
  /** The stream has something to send. */
  ready(stream: Stream): void;
  /** The application has taken `bytes` of body, so the peer may send as many more. */
  consumed(stream: Stream, bytes: number): void;
  /** This end resets the stream; the peer must be notified. */
  abandon(stream: Stream, error: NfrxError): void;
  /** The stream holds bytes that are a view into a larger message: `ownBytes` is due at the end of the turn. */
  borrowed(stream: Stream): void;
  /** Both directions are over. */
  finished(stream: Stream): void;
}

/**
 * One HTTP exchange on a link, the same at both ends: a head and a body in each direction. The end that opened it sends
 * the request, the other the response. Every failure (a reset from either side, a lost link) rejects all pending calls
 * with one NfrxError; `reset` cancels the exchange.
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
    if (this.closed) return run();
    const earlier = this.#onClose;
    this.#onClose =
      earlier === undefined
        ? run
        : () => {
            earlier();
            run();
          };
  }

  /** The peer's head. Rejects when the stream fails first. */
  head(): Promise<Head> {
    if (this.#head !== undefined) return Promise.resolve(this.#head);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#headWaiter ??= Promise.withResolvers();
    return this.#headWaiter.promise;
  }

  /** Sends this end's head; `end`: no body follows. Does nothing on a finished stream. */
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

  /** Ends this direction, after `last` if given. Queued data is sent first. */
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
    const bytes = join(this.#chunks, this.#buffered);
    this.#chunks = [];
    this.#buffered = 0;
    this.port.consumed(this, bytes.length);
    return bytes;
  }

  /** All that has arrived and is unread, which stays so. */
  peek(): Uint8Array {
    const bytes = join(this.#chunks, this.#buffered);
    this.#chunks = bytes.length === 0 ? [] : [bytes];
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
    return join(chunks, length);
  }

  /** Stops the peer's body: sends this end's queued data, then tells the peer to stop. */
  stopReading(): void {
    this.#deaf = true;
    this.settle();
  }

  /** Cancels the exchange in both directions and notifies the peer. Does nothing if it has ended. */
  reset(error: NfrxError): void {
    if (this.closed) return;
    // A truncated body must not look complete to its reader.
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

  /** The peer's head, once it has arrived. */
  get peerHead(): Head | undefined {
    return this.#head;
  }

  deliverHead(head: Head, end: boolean): void {
    this.#head = head;
    this.#inEnded = end;
    this.#headWaiter?.resolve(head);
    this.#headWaiter = undefined;
    if (end) this.#allArrived();
  }

  /**
   * Receives body bytes. They may be a view into a message of `keeps` bytes: unread bytes are copied at the end of the
   * turn if they would keep much more memory alive.
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
          new NfrxError("too_large", `more than ${this.bufferLimit} unread bytes on a connection without flow control`),
        );
        return;
      } else {
        this.#chunks.push(bytes);
        if (isMuchLess(bytes.length, keeps)) this.port.borrowed(this);
        this.#buffered += bytes.length;
      }
    }
    if (end) this.#allArrived();
  }

  /** Copies what is unread out of the messages that it came in. */
  ownBytes(): void {
    if (this.#buffered === 0) return;
    this.#chunks = this.#chunks.map(bytes =>
      isMuchLess(bytes.length, bytes.buffer.byteLength) ? Buffer.from(bytes) : bytes,
    );
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
      if (this.#deaf) this.reset(new NfrxError("canceled", "the receiver does not need the rest of the body"));
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

/** True when bytes would keep much more memory alive than they need. */
function isMuchLess(bytes: number, keeps: number): boolean {
  return bytes * 2 < keeps;
}

/** Chunks as one; they are gone then. */
function join(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const [only] = chunks;
  if (only !== undefined && chunks.length === 1) return only;
  const bytes = Buffer.concat(chunks, length);
  for (const chunk of chunks) discard(chunk);
  return bytes;
}
