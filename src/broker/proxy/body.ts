import { NfrxError } from "../../lib/errors.ts";

/** Bytes of a request body up to which it is held whole, so that it can be checked, split and sent a second time. */
export const HELD_BODY_BYTES = 8 * 1024 * 1024;

/** Bytes of request bodies held in memory by all requests together. */
export class MemoryBudget {
  #used = 0;

  constructor(private readonly limit: number) {}

  get used(): number {
    return this.#used;
  }

  /** Takes `bytes`. Throws `overloaded` when that is more than is left. */
  take(bytes: number): void {
    if (this.#used + bytes > this.limit)
      throw new NfrxError("overloaded", "too many request bodies are held in memory", { retryAfterSeconds: 5 });
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

/** A body's reader, as much of it as is needed. */
export interface ChunkReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/**
 * A request's body. A small one is held whole in `bytes`; of a larger one only the beginning, `rest` brings the
 * remainder once. `release` gives the memory back.
 */
export class RequestBody {
  #held: number;

  constructor(
    readonly bytes: Uint8Array,
    readonly rest: ChunkReader | undefined,
    private readonly limit: number,
    private readonly budget: MemoryBudget,
  ) {
    this.#held = bytes.length;
  }

  get whole(): boolean {
    return this.rest === undefined;
  }

  /** The next bytes after `bytes`, or undefined at the end. Throws `too_large` past the limit. */
  async next(): Promise<Uint8Array | undefined> {
    const chunk = await this.rest?.read();
    if (chunk?.value === undefined || chunk.done) return undefined;
    this.#passed += chunk.value.length;
    if (this.bytes.length + this.#passed > this.limit) throw tooLarge(this.limit);
    return chunk.value;
  }
  #passed = 0;

  /** Gives the memory back and stops reading. */
  release(): void {
    this.budget.give(this.#held);
    this.#held = 0;
    this.rest?.cancel().catch(() => {});
  }
}

/**
 * Reads a body: whole when it is small, else as far as HELD_BODY_BYTES and until `enough`, which sees every chunk, has
 * found what it needs. Throws `too_large` when the body is announced or found to be larger than `limit`, `overloaded`
 * when the budget is used up, `canceled` when the client goes away.
 */
export async function readBody(
  request: Request,
  limit: number,
  budget: MemoryBudget,
  enough: (chunk: Uint8Array) => boolean,
): Promise<RequestBody> {
  const announced = Number(request.headers.get("content-length") ?? Number.NaN);
  if (announced > limit) throw tooLarge(limit);
  if (announced <= HELD_BODY_BYTES) {
    budget.take(announced);
    try {
      return new RequestBody(await request.bytes(), undefined, limit, budget);
    } catch (error) {
      budget.give(announced);
      throw canceled(error);
    }
  }
  return readChunks(request, limit, budget, enough);
}

async function readChunks(
  request: Request,
  limit: number,
  budget: MemoryBudget,
  enough: (chunk: Uint8Array) => boolean,
): Promise<RequestBody> {
  const reader: ChunkReader | undefined = request.body?.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  let taken = 0;
  try {
    for (let more = true; more && reader !== undefined; ) {
      const chunk = await reader.read().catch((error: unknown) => {
        throw canceled(error);
      });
      if (chunk.done || chunk.value === undefined)
        return new RequestBody(Buffer.concat(chunks, length), undefined, limit, budget);
      length += chunk.value.length;
      if (length > limit) throw tooLarge(limit);
      budget.take(chunk.value.length);
      taken = length;
      chunks.push(chunk.value);
      more = !enough(chunk.value) || length < HELD_BODY_BYTES;
    }
  } catch (error) {
    budget.give(taken);
    reader?.cancel().catch(() => {});
    throw error;
  }
  return new RequestBody(Buffer.concat(chunks, length), reader, limit, budget);
}

function tooLarge(limit: number): NfrxError {
  return new NfrxError("too_large", `the request body is larger than ${limit} bytes`);
}

function canceled(cause: unknown): NfrxError {
  return new NfrxError("canceled", "the client went away while sending its request", { cause });
}
