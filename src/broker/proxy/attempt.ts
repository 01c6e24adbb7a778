import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import type { IdleLimit, IdleWatch } from "../../lib/idle-limit.ts";
import { type Clock, pause } from "../../lib/time.ts";
import { failureOf, type Span } from "../../lib/trace.ts";
import type { Head, RequestHead, ResponseHead } from "../../protocol/frames.ts";
import type { Stream } from "../../protocol/stream.ts";
import { verdictOf } from "../pool/health.ts";
import type { Slot } from "../pool/slot.ts";
import { isBusy } from "./failure.ts";

/** Time in milliseconds for a refusal to arrive completely, so that it can be inspected before it is forwarded. */
const PEEK_MS = 1_000;

export interface AttemptContext {
  clock: Clock;
  /** Milliseconds without a byte from the worker, or towards it. */
  idle: IdleLimit;
}

export interface AttemptOptions {
  /** Called when the attempt is aborted after the response began. */
  onGivenUp?: (error: NfrxError) => void;
  /** The span of the request that it is for. */
  parent?: Span | undefined;
}

/** One request on one worker: its slot, its stream and its idle timeout, acquired and released together. */
export class Attempt {
  readonly stream: Stream;
  readonly #idle: IdleWatch;
  readonly #span: Span | undefined;
  #answered = false;
  /** True while the next byte is due from the client. */
  #waitsForClient = false;
  #onClosed: (() => void) | undefined;

  /** Opens the stream. Throws `refused`, with the slot released, if the connection accepts no more. */
  constructor(
    readonly slot: Slot,
    head: RequestHead,
    private readonly context: AttemptContext,
    private readonly options: AttemptOptions,
  ) {
    const { worker } = slot;
    this.#span = options.parent?.child("attempt", "client");
    this.#span?.set(worker.traced);
    try {
      this.stream = worker.upstream.open(
        this.#span === undefined ? head : { ...head, headers: this.#span.inject(head.headers) },
      );
    } catch (error) {
      this.#span?.end(failureOf(error));
      slot.release();
      throw error;
    }
    // The worker is free for others as soon as its part is done, even while a slow client still reads.
    this.stream.onClose(() => {
      const { peerHead, arrived, failure } = this.stream;
      const status = peerHead !== undefined && "status" in peerHead ? peerHead.status : undefined;
      const code = arrived ? undefined : failure?.code;
      if (code === "upstream_error") worker.backendFailed();
      if (isBusy(failure)) worker.refusedAsBusy();
      slot.report(verdictOf(status, code));
      slot.release();
      this.#onClosed?.();
    });
    const { idle } = context;
    this.#idle = idle.watch(() => {
      const seconds = idle.ms / 1000;
      // Unread data waits for the client; then the worker is not idle.
      const unread = this.stream.arrived || this.stream.buffered > 0;
      this.giveUp(
        unread
          ? new NfrxError("canceled", `the client read nothing for ${seconds} seconds`)
          : this.#waitsForClient
            ? new NfrxError("request_timeout", `the client sent no data for ${seconds} seconds`)
            : new NfrxError("timeout", `no data from the worker for ${seconds} seconds`),
      );
    });
  }

  /**
   * Sends a request's body as it arrives from the client; `onBytes` is called for each chunk. True if the worker has
   * all of it.
   */
  async upload(chunks: AsyncIterator<Uint8Array>, onBytes: (bytes: number) => void): Promise<boolean> {
    try {
      for (;;) {
        this.#waitsForClient = true;
        const { value, done } = await chunks.next();
        this.#waitsForClient = false;
        if (done) break;
        onBytes(value.length);
        await this.stream.write(value);
        this.touch();
      }
      this.stream.end();
      return true;
    } catch (error) {
      // If the client's side failed, notifies the worker; on a finished stream this does nothing.
      this.stream.reset(toNfrxError(error));
      return false;
    }
  }

  /** Takes the head that has come on its stream. Throws `protocol` when it is not that of an answer. */
  answered(head: Head): ResponseHead {
    if (!("status" in head)) throw new NfrxError("protocol", "received a request instead of a response");
    this.#answered = true;
    this.touch();
    return head;
  }

  /** A short answer, left unread; undefined when it is longer than `max` bytes, or not here within PEEK_MS. */
  async peek(max: number): Promise<Uint8Array | undefined> {
    const { stream } = this;
    const over = new AbortController();
    const closed = new Promise<void>(resolve => {
      this.#onClosed = resolve;
    });
    if (!stream.arrived && !stream.closed)
      await Promise.race([closed, pause(this.context.clock, PEEK_MS, over.signal)]).finally(() => over.abort());
    return stream.arrived && stream.buffered <= max ? stream.peek() : undefined;
  }

  /** Bytes went one way or the other: the attempt is alive. */
  touch(): void {
    this.#idle.touch();
  }

  giveUp(error: NfrxError): void {
    this.stream.reset(error);
    if (this.#answered) this.options.onGivenUp?.(error);
  }

  /** Releases everything; resets the stream if the worker has not finished. */
  end(error?: NfrxError): void {
    this.#idle.cancel();
    this.#span?.end(failureOf(error));
    if (!this.stream.closed) this.stream.reset(error ?? new NfrxError("canceled", "the exchange has ended"));
    this.slot.release();
  }
}
