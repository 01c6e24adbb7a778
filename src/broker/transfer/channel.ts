import { NfrxError } from "../../lib/errors.ts";
import type { Timer } from "../../lib/time.ts";
import { Pipe, type PipeEnd, type PipeOptions } from "./pipe.ts";

/** The two ends: reader and writer. */
export type End = "reader" | "writer";

/** How a channel ended: as its pipe did, or because the two did not meet in time. */
export type TransferEnd = PipeEnd | "expired";

/** Settings and callbacks of a channel's creator. */
export interface TransferChannelOptions {
  /** Milliseconds that the ends have to meet. */
  readonly ttlMs?: number | undefined;
  /** The caller to whom it is attributed, if any. */
  readonly caller?: string | undefined;
  /** It may be one of those that are kept for jobs. */
  readonly forJob?: boolean | undefined;
  /** The end that `awaitsClient` asks about. */
  readonly client?: End | undefined;
  /** Called when the ends have met, and then from time to time while bytes pass; with the bytes so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Called once, with the bytes that were taken from the writer. */
  readonly onEnd?: ((end: TransferEnd, bytes: number) => void) | undefined;
}

/** An end that has come and waits for the other. */
interface Arrival {
  readonly request: Request;
  readonly met: PromiseWithResolvers<Pipe>;
}

/** Where one reader and one writer meet, once. */
export class TransferChannel {
  readonly id = crypto.randomUUID();
  /** Bytes that were taken from the writer. */
  bytes = 0;
  /** Set once they have met. */
  pipe: Pipe | undefined;
  /** Gives its caller's share back. */
  release: () => void = () => {};
  /** Tells the drain that the channel is unused. */
  leave: () => void = () => {};

  #timer: Timer | undefined;
  readonly #arrivals: Partial<Record<End, Arrival>> = {};

  constructor(
    readonly options: TransferChannelOptions,
    /** Milliseconds since 1970. */
    readonly expiresAt: number,
    /** Of the monotonic clock. */
    readonly createdAt: number,
  ) {}

  /** Ends that are rejected when the channel expires. */
  set timer(timer: Timer) {
    this.#timer = timer;
  }

  /** True when this end has come. */
  has(end: End): boolean {
    return this.#arrivals[end] !== undefined;
  }

  get empty(): boolean {
    return !this.has("reader") && !this.has("writer");
  }

  /**
   * Resolves when both ends are connected. Rejects with `transfer_in_use` if this end is already connected, with the
   * reason if the channel ends first, and with `canceled` if the request disconnects; its place is then free again.
   */
  async arrive(end: End, request: Request, pipe: () => Omit<PipeOptions, End>): Promise<Pipe> {
    if (this.has(end)) throw new NfrxError("transfer_in_use", `the transfer already has a ${end}`);
    const met = Promise.withResolvers<Pipe>();
    const gone = (): void => {
      // Once they have met, the pipe sees to it.
      if (this.pipe !== undefined) return;
      delete this.#arrivals[end];
      met.reject(new NfrxError("canceled", `the ${end} disconnected`));
    };
    this.#arrivals[end] = { request, met };
    request.signal.addEventListener("abort", gone);
    const { reader, writer } = this.#arrivals;
    if (request.signal.aborted) gone();
    else if (reader !== undefined && writer !== undefined) {
      this.#timer?.cancel();
      this.pipe = new Pipe({ ...pipe(), reader: reader.request, writer: writer.request });
      for (const arrival of [reader, writer]) arrival.met.resolve(this.pipe);
    }
    try {
      return await met.promise;
    } finally {
      request.signal.removeEventListener("abort", gone);
    }
  }

  /** Rejects the waiting end: the other one will not connect. */
  giveUp(error: NfrxError): void {
    this.#timer?.cancel();
    for (const arrival of Object.values(this.#arrivals)) arrival.met.reject(error);
  }
}
