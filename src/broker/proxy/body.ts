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
 * A request's body. A small one is held whole in `bytes`; of a larger one only the beginning, and `next` hands out all
 * of it, once. `release` gives the memory back.
 */
export class RequestBody {
  readonly #begin: Uint8Array[];
  #held: number;
  /** Bytes that have come, the held ones included. */
  #length: number;

  constructor(
    begin: Uint8Array[],
    readonly rest: ChunkReader | undefined,
    private readonly limit: number,
    private readonly budget: MemoryBudget,
  ) {
    this.#begin = begin;
    this.#held = begin.reduce((sum, chunk) => sum + chunk.length, 0);
    this.#length = this.#held;
  }

  /** The whole body, when it is. */
  get bytes(): Uint8Array {
    return this.#begin[0] ?? NOTHING;
  }

  get whole(): boolean {
    return this.rest === undefined;
  }

  /** The next bytes, beginning with those that are held and from then on are not, or undefined at the end. Throws `too_large` past the limit. */
  async next(): Promise<Uint8Array | undefined> {
    const held = this.#begin.shift();
    if (held !== undefined) return held;
    this.#giveBack();
    const chunk = await this.rest?.read();
    if (chunk?.value === undefined || chunk.done) return undefined;
    this.#length += chunk.value.length;
    if (this.#length > this.limit) throw tooLarge(this.limit);
    return chunk.value;
  }

  /** Gives the memory back and stops reading. */
  release(): void {
    this.#giveBack();
    this.rest?.cancel().catch(() => {});
  }

  #giveBack(): void {
    this.budget.give(this.#held);
    this.#held = 0;
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Reads a body: whole when it is small, else until `enough`, which sees every chunk, has found what it needs, and as far
 * as HELD_BODY_BYTES unless it is announced to be larger. Throws `too_large` when the body is announced or found to be larger than `limit`, `overloaded`
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
      return new RequestBody([await request.bytes()], undefined, limit, budget);
    } catch (error) {
      budget.give(announced);
      throw canceled(error);
    }
  }
  return readChunks(request, limit, budget, enough, announced > HELD_BODY_BYTES ? 0 : HELD_BODY_BYTES);
}

async function readChunks(
  request: Request,
  limit: number,
  budget: MemoryBudget,
  enough: (chunk: Uint8Array) => boolean,
  atLeast: number,
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
        return new RequestBody([Buffer.concat(chunks, length)], undefined, limit, budget);
      length += chunk.value.length;
      if (length > limit) throw tooLarge(limit);
      budget.take(chunk.value.length);
      taken = length;
      chunks.push(chunk.value);
      more = !enough(chunk.value) || length < atLeast;
    }
  } catch (error) {
    budget.give(taken);
    reader?.cancel().catch(() => {});
    throw error;
  }
  return new RequestBody(chunks, reader, limit, budget);
}

function tooLarge(limit: number): NfrxError {
  return new NfrxError("too_large", `the request body is larger than ${limit} bytes`);
}

function canceled(cause: unknown): NfrxError {
  return new NfrxError("canceled", "the client went away while sending its request", { cause });
}
