// Where a body's bytes come from: the client, at no less than a pace, and out of their encoding.
import { Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { NfrxError } from "../../../lib/errors.ts";
import type { Clock, Timer } from "../../../lib/time.ts";

/** Milliseconds over which the pace of a request body is measured; a small body has as long to arrive. */
const BODY_PACE_MS = 30_000;
/** Bytes that a compressed request body is unpacked into at once. */
const UNPACKED_BYTES = 64 * 1024;

/** A body's reader, as much of it as is needed. */
export interface ChunkReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** How fast a client must send. */
export interface Pace {
  clock: Clock;
  /** Bytes a second; 0 for no limit. */
  bytesPerSecond: number;
}

/** Throws `canceled` for a client that went away. */
export function canceled(cause: unknown): NfrxError {
  return new NfrxError("canceled", "the client disconnected while sending its request", { cause });
}

function tooSlow({ bytesPerSecond }: Pace): NfrxError {
  const seconds = BODY_PACE_MS / 1000;
  const message = `the request body arrived at less than ${bytesPerSecond} bytes per second for ${seconds} seconds`;
  return new NfrxError("request_timeout", message);
}

/** Milliseconds between looks at the small bodies that are still to come: how late one may be refused. */
const LOOK_MS = 1_000;

interface Awaited {
  readonly due: number;
  readonly refuse: (error: NfrxError) => void;
}

/** Reads small bodies of known length. Nearly all are here at once, so one timer watches over all of them. */
export class SmallBodies {
  readonly #awaited = new Set<Awaited>();
  #watching = false;

  constructor(private readonly pace: Pace) {}

  /** All of a body. Rejects with `request_timeout` when it is slower than the pace, `canceled` when the client goes away. */
  read(request: Request, announced: number): Promise<Uint8Array> {
    const { clock, bytesPerSecond } = this.pace;
    if (bytesPerSecond <= 0) return request.bytes().catch(error => Promise.reject(canceled(error)));
    return new Promise((resolve, reject) => {
      const ms = Math.max(BODY_PACE_MS, (announced / bytesPerSecond) * 1000);
      const awaited: Awaited = { due: clock.now() + ms, refuse: reject };
      this.#awaited.add(awaited);
      if (!this.#watching) this.#watch();
      request.bytes().then(
        bytes => {
          this.#awaited.delete(awaited);
          resolve(bytes);
        },
        (error: unknown) => {
          this.#awaited.delete(awaited);
          reject(canceled(error));
        },
      );
    });
  }

  #watch(): void {
    const { clock } = this.pace;
    this.#watching = true;
    clock.after(LOOK_MS, () => this.#look(clock.now()), true);
  }

  #look(now: number): void {
    this.#watching = false;
    for (const awaited of this.#awaited) {
      if (awaited.due > now) continue;
      this.#awaited.delete(awaited);
      awaited.refuse(tooSlow(this.pace));
    }
    if (this.#awaited.size > 0) this.#watch();
  }
}

/**
 * A client's body with a minimum rate, averaged over BODY_PACE_MS of the time spent waiting for the client. Reading
 * rejects with `request_timeout` or `canceled`.
 */
export class PacedReader implements ChunkReader {
  /** Milliseconds waited, and bytes that came, since the pace was last measured. */
  #waited = 0;
  #bytes = 0;
  #tooSlow = false;

  constructor(
    private readonly source: ChunkReader,
    private readonly pace: Pace,
  ) {}

  async read(): Promise<{ done: boolean; value?: Uint8Array | undefined }> {
    const { clock } = this.pace;
    const began = clock.now();
    const timer = this.#watch();
    try {
      const read = await this.source.read();
      if (this.#tooSlow) throw tooSlow(this.pace);
      this.#waited += clock.now() - began;
      this.#bytes += read.value?.length ?? 0;
      return read;
    } catch (error) {
      throw error instanceof NfrxError ? error : canceled(error);
    } finally {
      timer.cancel();
    }
  }

  cancel(): Promise<void> {
    return this.source.cancel();
  }

  /** Measures the pace when the time has come, again and again while a read waits. */
  #watch(): Timer {
    const { clock, bytesPerSecond } = this.pace;
    if (bytesPerSecond <= 0) return NO_TIMER;
    let timer: Timer;
    const arm = (ms: number): void => {
      timer = clock.after(ms, measure, true);
    };
    const measure = (): void => {
      if (this.#bytes < (bytesPerSecond * BODY_PACE_MS) / 1000) {
        this.#tooSlow = true;
        // Ends the read that waits.
        this.source.cancel().catch(() => {});
        return;
      }
      this.#waited = 0;
      this.#bytes = 0;
      arm(BODY_PACE_MS);
    };
    arm(Math.max(0, BODY_PACE_MS - this.#waited));
    return { cancel: () => timer.cancel() };
  }
}

const NO_TIMER: Timer = { cancel: () => {} };

/** The encoding of a body that is to be undone; undefined when there is none. Throws `unsupported_media_type` for an unknown one. */
export function encodingOf(headers: Headers): string | undefined {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase();
  if (encoding === undefined || encoding === "" || encoding === "identity") return undefined;
  if (DECODERS[encoding] !== undefined) return encoding;
  const known = Object.keys(DECODERS).filter(name => !name.startsWith("x-"));
  throw new NfrxError(
    "unsupported_media_type",
    `unsupported content encoding of the request body; supported: ${known.join(", ")}`,
    { param: "content-encoding" },
  );
}

const SIZES = { chunkSize: UNPACKED_BYTES };
const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => createGunzip(SIZES),
  "x-gzip": () => createGunzip(SIZES),
  deflate: () => createInflate(SIZES),
  br: () => createBrotliDecompress(SIZES),
  zstd: () => createZstdDecompress(SIZES),
};

/** Decodes `source` chunk by chunk, so that memory is bounded by the reader's demand. */
export function decoded(source: ChunkReader, encoding: string): ChunkReader {
  const decoder = DECODERS[encoding]?.();
  if (decoder === undefined) return source;
  const encoded = Readable.from(chunksOf(source), { objectMode: false, highWaterMark: 1 });
  encoded.on("error", error => decoder.destroy(error));
  // Without a reader the error would be unhandled.
  decoder.on("error", () => {});
  const chunks = encoded.pipe(decoder)[Symbol.asyncIterator]();
  return {
    async read() {
      try {
        const { done, value } = await chunks.next();
        return { done: done === true, value: done ? undefined : Buffer.from(value) };
      } catch (error) {
        if (error instanceof NfrxError) throw error;
        throw new NfrxError("invalid_request", `the request body is not valid ${encoding}`, {
          param: "content-encoding",
          cause: error,
        });
      }
    },
    async cancel() {
      encoded.destroy();
      decoder.destroy();
      await source.cancel();
    },
  };
}

async function* chunksOf(source: ChunkReader): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const { value } = await source.read();
    if (value === undefined) return;
    yield value;
  }
}
