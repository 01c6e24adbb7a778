import { discard } from "../../lib/bytes.ts";
import { NfrxError } from "../../lib/errors.ts";
import type { Budget } from "./budget.ts";
import type { Spool, SpoolFile } from "./spool.ts";

/** Bytes of a request body up to which it is held whole, so that it can be checked, split and sent a second time. */
export const HELD_BODY_BYTES = 8 * 1024 * 1024;

/** What bodies may use. */
export interface BodyLimits {
  /** Bytes of one body. */
  maxBytes: number;
  memory: Budget;
  spool: Spool;
}

/** A body's reader, as much of it as is needed. */
export interface ChunkReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
  cancel(): Promise<void>;
}

/** Where a body is: all of it on disk, or its beginning in memory and the rest, if any, still with the client. */
interface Parts {
  held: Uint8Array[];
  file?: SpoolFile | undefined;
  rest?: ChunkReader | undefined;
}

/**
 * A request's body. A small one is held whole in `bytes`; of a larger one `chunks` hands out all of it. `release` gives
 * back what it uses.
 */
export class RequestBody {
  readonly #parts: Parts;
  #held: number;

  constructor(
    parts: Parts,
    private readonly limits: BodyLimits,
    /** Bytes that the client has announced. */
    private readonly announced?: number,
  ) {
    this.#parts = parts;
    this.#held = parts.held.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** The whole body, when it is held so. */
  get bytes(): Uint8Array {
    return this.#parts.held[0] ?? NOTHING;
  }

  /** True when all of it is in memory. */
  get whole(): boolean {
    return this.arrived && this.#parts.file === undefined;
  }

  /** True when all of it has come from the client, so that it can be sent more than once. */
  get arrived(): boolean {
    return this.#parts.rest === undefined;
  }

  /** How many bytes it has, where that is known already. */
  get length(): number | undefined {
    return this.arrived ? (this.#parts.file?.length ?? this.#held) : this.announced;
  }

  /**
   * All of a body that is not whole, from its beginning; more than once only when it has arrived. A chunk is gone when the
   * next one is asked for. Throws `too_large` past the limit, `canceled` when the client goes away.
   */
  async *chunks(): AsyncGenerator<Uint8Array, void> {
    const { held, file, rest } = this.#parts;
    let length = 0;
    while (file !== undefined && length < file.length) {
      const chunk = await file.read(length);
      length += chunk.length;
      yield chunk;
      discard(chunk);
    }
    for (let chunk = held.shift(); chunk !== undefined; chunk = held.shift()) {
      length += chunk.length;
      yield chunk;
      discard(chunk);
    }
    this.#giveMemory();
    while (rest !== undefined) {
      const chunk = await readFrom(rest);
      if (chunk === undefined) return requireAll(length, this.announced);
      length += chunk.length;
      if (length > this.limits.maxBytes) throw tooLarge(this.limits.maxBytes);
      yield chunk;
      discard(chunk);
    }
  }

  /** Gives back memory and disk, and stops reading. */
  release(): void {
    this.#giveMemory();
    this.#parts.file?.close();
    this.#parts.rest?.cancel().catch(() => {});
  }

  #giveMemory(): void {
    this.limits.memory.give(this.#held);
    this.#held = 0;
  }
}

const NOTHING = new Uint8Array(0);

/**
 * Reads a body: whole when it is small, else until `enough`, which sees every chunk, has found what it needs; as far as
 * HELD_BODY_BYTES in memory unless it is announced to be larger, and beyond that on disk. Throws `too_large` when the body
 * is announced or found to be larger than the limit, `overloaded` when memory or disk are used up, `canceled` when the
 * client goes away.
 */
export async function readBody(
  request: Request,
  limits: BodyLimits,
  enough: (chunk: Uint8Array) => boolean | Promise<boolean>,
): Promise<RequestBody> {
  const { memory, maxBytes } = limits;
  const announced = Number(request.headers.get("content-length") ?? Number.NaN);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  if (announced <= HELD_BODY_BYTES) {
    memory.take(announced);
    try {
      const bytes = await request.bytes();
      // A GET has no body here, whatever it announced.
      memory.give(announced - bytes.length);
      return new RequestBody({ held: [bytes] }, limits);
    } catch (error) {
      memory.give(announced);
      throw canceled(error);
    }
  }
  const reading = new Reading(request.body?.getReader(), limits, announced);
  try {
    return await reading.read(enough);
  } catch (error) {
    reading.release();
    throw error;
  }
}

/** A body that is read chunk by chunk until enough of it is known. */
class Reading {
  readonly #held: Uint8Array[] = [];
  #file: SpoolFile | undefined;
  #length = 0;
  #taken = 0;

  constructor(
    private readonly rest: ChunkReader | undefined,
    private readonly limits: BodyLimits,
    private readonly announced: number,
  ) {}

  async read(enough: (chunk: Uint8Array) => boolean | Promise<boolean>): Promise<RequestBody> {
    const atLeast = this.announced > HELD_BODY_BYTES ? 0 : HELD_BODY_BYTES;
    // What had to go to disk goes there to its end: nearly all of it has come by then, and it can be sent again.
    for (let known = false; !known || this.#file !== undefined || this.#length < atLeast; ) {
      const chunk = this.rest && (await readFrom(this.rest));
      if (chunk === undefined) return this.#all();
      this.#length += chunk.length;
      if (this.#length > this.limits.maxBytes) throw tooLarge(this.limits.maxBytes);
      known ||= await enough(chunk);
      await this.#keep(chunk, known);
    }
    const announced = Number.isNaN(this.announced) ? undefined : this.announced;
    return new RequestBody({ held: this.#held, rest: this.rest }, this.limits, announced);
  }

  release(): void {
    this.limits.memory.give(this.#taken);
    this.#file?.close();
    this.rest?.cancel().catch(() => {});
  }

  /** In memory while that is little, or nothing more is to come; else on disk. */
  async #keep(chunk: Uint8Array, known: boolean): Promise<void> {
    const { memory, spool } = this.limits;
    if (this.#file === undefined && (known || this.#length <= HELD_BODY_BYTES)) {
      memory.take(chunk.length);
      this.#taken += chunk.length;
      this.#held.push(chunk);
      return;
    }
    if (this.#file === undefined) {
      this.#file = await spool.open();
      for (const earlier of this.#held.splice(0)) await append(this.#file, earlier);
      memory.give(this.#taken);
      this.#taken = 0;
    }
    await append(this.#file, chunk);
  }

  #all(): RequestBody {
    requireAll(this.#length, this.announced);
    const held = this.#file === undefined ? [Buffer.concat(this.#held, this.#length)] : [];
    return new RequestBody({ held, file: this.#file }, this.limits);
  }
}

/** Moves a chunk to disk. */
async function append(file: SpoolFile, chunk: Uint8Array): Promise<void> {
  await file.append(chunk);
  discard(chunk);
}

/** The next chunk, or undefined at the end. Throws `canceled` when the client goes away. */
async function readFrom(reader: ChunkReader): Promise<Uint8Array | undefined> {
  const { done, value } = await reader.read().catch((error: unknown) => {
    throw canceled(error);
  });
  return done ? undefined : value;
}

/** Throws `canceled` when a body has ended before its announced length. */
function requireAll(length: number, announced = 0): void {
  if (length < announced) throw canceled(new Error(`${length} bytes came of ${announced}`));
}

function tooLarge(limit: number): NfrxError {
  return new NfrxError("too_large", `the request body is larger than ${limit} bytes`);
}

function canceled(cause: unknown): NfrxError {
  return new NfrxError("canceled", "the client went away while sending its request", { cause });
}
