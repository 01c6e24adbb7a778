// The two sides of a stream's flow control: data to send, and data that the peer may still send.
import type { NfrxError } from "../lib/errors.ts";
import type { Head } from "./frames.ts";
import { STREAM_WINDOW_MAX } from "./limits.ts";
/** Unsent data of one direction. */
export class Outbox {
  head: Head | undefined;
  /** The application has ended this direction. */
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

/** The bytes that the peer may still send on one stream, and when to grant more. */
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
   * Counts bytes that were read; returns the credit to grant, or 0. The window doubles, as far as `grow` allows, if
   * half of it was read within two round trips: then the window limits the stream, not the reader.
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
