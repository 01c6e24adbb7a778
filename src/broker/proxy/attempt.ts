import { NfrxError } from "../../lib/errors.ts";
import { type Clock, IdleTimer } from "../../lib/time.ts";
import type { RequestHead, ResponseHead } from "../../protocol/frames.ts";
import type { Stream } from "../../protocol/stream.ts";
import type { Seat } from "../pool/pool.ts";

export interface AttemptContext {
  clock: Clock;
  /** Milliseconds without a byte from the worker, or towards it. */
  requestTimeoutMs: number;
}

/** One request at one worker: its seat, its stream and its idle limit, taken together and given back together. */
export class Attempt {
  readonly stream: Stream;
  readonly #idle: IdleTimer;
  #answered = false;
  /** True while the next byte is due from the client. */
  waitsForClient = false;

  /** Opens the stream. Throws `refused`, with the seat given back, when the connection takes no more. */
  constructor(
    readonly seat: Seat,
    head: RequestHead,
    context: AttemptContext,
    /** Called when the attempt is given up after its answer began, when nobody may be waiting to hear of it. */
    private readonly onGivenUp: (error: NfrxError) => void = () => {},
  ) {
    try {
      this.stream = seat.worker.link.open(head);
    } catch (error) {
      seat.release();
      throw error;
    }
    // The worker is free for others as soon as its part is done, even while a slow client still reads.
    this.stream.onClose(seat.release);
    const { clock, requestTimeoutMs } = context;
    this.#idle = new IdleTimer(clock, requestTimeoutMs, () => {
      const seconds = requestTimeoutMs / 1000;
      // What has arrived and was not taken waits for the client; then the silence is not the worker's.
      const unread = this.stream.arrived || this.stream.buffered > 0;
      this.giveUp(
        unread
          ? new NfrxError("canceled", `the client took no byte for ${seconds} seconds`)
          : this.waitsForClient
            ? new NfrxError("request_timeout", `the client sent no byte for ${seconds} seconds`)
            : new NfrxError("timeout", `no byte from the worker for ${seconds} seconds`),
      );
    });
  }

  /** The head of the worker's answer. */
  async answer(): Promise<ResponseHead> {
    const head = await this.stream.head();
    if (!("status" in head)) throw new NfrxError("protocol", "a request came where an answer was due");
    this.#answered = true;
    this.touch();
    return head;
  }

  /** Bytes went one way or the other: the attempt is alive. */
  touch(): void {
    this.#idle.touch();
  }

  giveUp(error: NfrxError): void {
    this.stream.reset(error);
    if (this.#answered) this.onGivenUp(error);
  }

  /** Gives everything back; the worker is told when it has not finished. */
  end(error?: NfrxError): void {
    this.#idle.cancel();
    if (!this.stream.closed) this.stream.reset(error ?? new NfrxError("canceled", "the exchange is over"));
    this.seat.release();
  }
}
