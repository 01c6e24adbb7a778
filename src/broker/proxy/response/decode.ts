// A worker's answer out of its content encoding.
import { Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { NfrxError } from "../../../lib/errors.ts";

/** Where an answer's bytes come from. */
export interface ByteSource {
  /** The next bytes; null at the end. */
  read(): Promise<Uint8Array | null>;
  /** Bytes that are here and not yet read. */
  readonly buffered: number;
}

/** The bytes without their encoding, each as soon as it is there. Throws `upstream_error` for an encoding not known here. */
export function decoded(source: ByteSource, encoding: string | undefined): ByteSource {
  const name = encoding?.trim().toLowerCase() ?? "";
  if (name === "" || name === "identity") return source;
  const decoder = decoderOf(name);
  if (decoder === undefined)
    throw new NfrxError("upstream_error", `the backend's response has the unsupported content encoding ${name}`);
  return new Decoded(source, decoder, name);
}

function decoderOf(name: string): Transform | undefined {
  switch (name) {
    case "gzip":
    case "x-gzip":
      return createGunzip();
    case "deflate":
      return createInflate();
    case "br":
      return createBrotliDecompress();
    case "zstd":
      return createZstdDecompress();
    default:
      return undefined;
  }
}

class Decoded implements ByteSource {
  readonly buffered = 0;
  readonly #pieces: AsyncIterator<Uint8Array>;
  /** Why the encoded bytes ended early. */
  #failure: unknown;

  constructor(
    source: ByteSource,
    decoder: Transform,
    private readonly name: string,
  ) {
    const encoded = Readable.from(this.#piecesOf(source), { highWaterMark: 1 });
    encoded.once("error", error => decoder.destroy(error));
    // Readers get the error; between two reads there is no listener.
    decoder.on("error", () => {});
    encoded.pipe(decoder);
    this.#pieces = decoder[Symbol.asyncIterator]();
  }

  async read(): Promise<Uint8Array | null> {
    try {
      const { done, value } = await this.#pieces.next();
      return done ? null : value;
    } catch (cause) {
      throw (
        this.#failure ?? new NfrxError("upstream_error", `the backend's response is not valid ${this.name}`, { cause })
      );
    }
  }

  async *#piecesOf(source: ByteSource): AsyncGenerator<Uint8Array> {
    try {
      for (let bytes = await source.read(); bytes !== null; bytes = await source.read()) yield bytes;
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }
}
