import { discard } from "../../../lib/bytes.ts";
import { NfrxError } from "../../../lib/errors.ts";
import type { Principal, RouteCall } from "../../../modules/route.ts";
import {
  type ChunkReader,
  canceled,
  decoded,
  encodingOf,
  type Pace,
  PacedReader,
  type SmallBodies,
} from "./body-source.ts";
import { BodyStore, type StoreLimits } from "./body-store.ts";

export type { ChunkReader } from "./body-source.ts";

/** Bytes of a request body up to which it is held whole, so that it can be checked, split and sent a second time. */
export const HELD_BODY_BYTES = 8 * 1024 * 1024;
/** Bytes of an announced request body up to which it is taken at once; of a larger one each piece is counted as it arrives. */
const SMALL_BODY_BYTES = 64 * 1024;
/** Bytes of a request body that passes through to a worker, up to which it is kept until the answer begins, for another worker. */
const RESENT_BODY_BYTES = 128 * 1024 * 1024;
/** How many of them are kept in memory; with more they all go to disk. */
const RESENT_MEMORY_BYTES = 1024 * 1024;

/** Limits for bodies. */
export interface BodyLimits extends StoreLimits {
  /** Bytes of one body. */
  maxBytes: number;
  /** For bodies that are read piece by piece, and for small ones. */
  pace: Pace;
  small: SmallBodies;
  /** The caller to whom a body's memory and disk space are attributed. */
  holders: (principal: Principal) => readonly string[];
}

/** A request with a body, and who it is from. */
export type Sender = Pick<RouteCall, "request" | "principal">;

/** How far a body is known: enough to send it on; that, but more could be found; not yet. */
export type Scanned = boolean | "known";

export interface ReadOptions {
  /** A body that is `known` is read on for what could still be found. */
  readOn?: boolean;
  /** Its encoding is undone. */
  decode?: boolean;
}

/** The part of a body that was read, and the rest. */
interface Parts {
  store: BodyStore;
  /** A chunk behind the store that found no room there. */
  ahead?: Uint8Array | undefined;
  rest?: ChunkReader | undefined;
  /** Bytes that the client has announced. */
  announced?: number | undefined;
}

/**
 * A request's body. A small one is complete in `bytes`; for a larger one `chunks` yields all of it, from the start as
 * long as it is `resendable`. `release` frees its resources.
 */
export class RequestBody {
  readonly #store: BodyStore;
  readonly #announced: number | undefined;
  readonly #bytes: Uint8Array | undefined;
  #rest: ChunkReader | undefined;
  #ahead: Uint8Array | undefined;
  /** Bytes that have come from the client. */
  #length: number;
  /** The chunks that arrive are kept, so that they can be sent again. */
  #keeping = true;
  /** Where the latest to hand out chunks is. */
  #position = 0;
  #turn = 0;
  #reading: Promise<Next | undefined> | undefined;

  constructor(
    { store, ahead, rest, announced }: Parts,
    private readonly maxBytes: number,
  ) {
    this.#store = store;
    this.#ahead = ahead;
    this.#rest = rest;
    this.#announced = announced;
    this.#length = store.length + (ahead?.length ?? 0);
    if (this.arrived) this.#bytes = store.join();
    if (ahead !== undefined) this.#keeping = false;
  }

  /** The whole body, when it is held so. */
  get bytes(): Uint8Array {
    return this.#bytes ?? NOTHING;
  }

  /** True when all of it is in memory. */
  get whole(): boolean {
    return this.#bytes !== undefined;
  }

  /** True when all of it has come from the client. */
  get arrived(): boolean {
    return this.#rest === undefined && this.#ahead === undefined;
  }

  /** True when it can be sent from its beginning: all that has come of it is here. */
  get resendable(): boolean {
    return this.whole || (this.#keeping && this.#store.length === this.#length);
  }

  /** How many bytes it has, where that is known already. */
  get length(): number | undefined {
    return this.arrived ? this.#length : this.#announced;
  }

  /**
   * All of a body that is not whole, from its beginning; more than once only while it is `resendable`. A later call ends
   * the ones before. A chunk is gone when the next one is asked for. Throws `too_large` past the limit, `request_timeout`
   * when the client is too slow, `canceled` when it goes away.
   */
  async *chunks(): AsyncGenerator<Uint8Array, void> {
    const turn = ++this.#turn;
    const requireTurn = (): void => {
      if (turn !== this.#turn) throw new NfrxError("canceled", "the body is sent to another worker");
    };
    this.#position = 0;
    for (;;) {
      const stored = this.#position < this.#store.length;
      if (!stored && !this.#keeping) this.#store.release();
      const next = stored ? await this.#again() : await this.#next();
      requireTurn();
      if (next === undefined) return;
      if (next.chunk === this.#ahead) this.#ahead = undefined;
      this.#position += next.chunk.length;
      yield next.chunk;
      requireTurn();
      if (!next.kept) discard(next.chunk);
    }
  }

  /** It will not be sent again: what has been kept for that is given back as soon as it has left. */
  settle(): void {
    if (this.whole) return;
    this.#keeping = false;
    if (this.#position >= this.#store.length) this.#store.release();
  }

  /** Gives back memory and disk, and stops reading. */
  release(): void {
    this.#store.release();
    this.#rest?.cancel().catch(() => {});
  }

  async #again(): Promise<Next> {
    const kept = !this.#store.onDisk;
    return { chunk: await this.#store.read(this.#position), kept };
  }

  /** The next chunk from the client, the same for all that wait for it; undefined at the end. */
  #next(): Promise<Next | undefined> {
    this.#reading ??= this.#fetch().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Takes a chunk from the client into the store or, when that keeps no more, into `#ahead`. */
  async #fetch(): Promise<Next | undefined> {
    if (this.#ahead !== undefined) return { chunk: this.#ahead, kept: false };
    const chunk = (await this.#rest?.read())?.value;
    if (chunk === undefined) {
      requireAll(this.#length, this.#announced);
      this.#rest = undefined;
      return undefined;
    }
    this.#length += chunk.length;
    if (this.#length > this.maxBytes) throw tooLarge(this.maxBytes);
    if (this.#keeping) {
      const kept = await this.#keep(chunk);
      // It may have been settled meanwhile.
      this.#keeping &&= kept;
    }
    if (!this.#keeping) this.#ahead = chunk;
    return { chunk, kept: this.#keeping && !this.#store.onDisk };
  }

  async #keep(chunk: Uint8Array): Promise<boolean> {
    try {
      return (
        this.#length <= RESENT_BODY_BYTES &&
        this.#store.spares(chunk.length, RESENT_MEMORY_BYTES) &&
        (await this.#store.tryAppend(chunk, RESENT_MEMORY_BYTES))
      );
    } catch (error) {
      // A body that was settled meanwhile has closed its store.
      if (!this.#keeping) return false;
      throw error;
    }
  }
}

/** A chunk, and whether it is kept as it is, so that it must not be discarded. */
interface Next {
  chunk: Uint8Array;
  kept: boolean;
}

const NOTHING = new Uint8Array(0);
const NOBODY: readonly string[] = [];

/**
 * Reads a body: whole when it is small, else until `enough`, which sees every chunk, has found what it needs; as far as
 * HELD_BODY_BYTES in memory unless it is announced to be larger, and beyond that on disk. Bytes count as they arrive.
 * Throws `too_large` when the body is announced or found to be larger than the limit, `overloaded` when memory or disk
 * are used up, `request_timeout` when the client is too slow, `canceled` when it goes away.
 */
export async function readBody(
  { request, principal }: Sender,
  limits: BodyLimits,
  enough: (chunk: Uint8Array) => Scanned | Promise<Scanned>,
  options: ReadOptions = {},
): Promise<RequestBody> {
  const { maxBytes, pace } = limits;
  const encoding = options.decode ? encodingOf(request.headers) : undefined;
  const announced = Number(request.headers.get("content-length") ?? Number.NaN);
  if (announced > maxBytes) throw tooLarge(maxBytes);
  if (announced <= SMALL_BODY_BYTES && encoding === undefined)
    return bodyOf(await limits.small.read(request, announced), limits);
  if (request.body === null) return noBody(limits);
  const paced = new PacedReader(request.body.getReader(), pace);
  const rest = encoding === undefined ? paced : decoded(paced, encoding);
  const store = new BodyStore(limits, limits.holders(principal));
  const length = encoding === undefined && !Number.isNaN(announced) ? announced : undefined;
  // A body that will be held whole is looked at as a whole.
  const scan = length !== undefined && length <= HELD_BODY_BYTES ? () => false : enough;
  try {
    return new RequestBody(
      await read(rest, { store, enough: scan, length, maxBytes, readOn: options.readOn }),
      maxBytes,
    );
  } catch (error) {
    store.release();
    rest.cancel().catch(() => {});
    throw error;
  }
}

/** A body that is in memory already. Throws `overloaded` when there is no room for it. */
export function bodyOf(bytes: Uint8Array, limits: BodyLimits): RequestBody {
  const store = new BodyStore(limits, NOBODY);
  store.hold(bytes);
  return new RequestBody({ store }, limits.maxBytes);
}

/** The body of a request that has none. */
function noBody(limits: BodyLimits): RequestBody {
  return bodyOf(NOTHING, limits);
}

interface Reading {
  store: BodyStore;
  enough: (chunk: Uint8Array) => Scanned | Promise<Scanned>;
  /** Bytes that the body is announced to have. */
  length: number | undefined;
  maxBytes: number;
  readOn: boolean | undefined;
}

async function read(rest: ChunkReader, { store, enough, length, maxBytes, readOn }: Reading): Promise<Parts> {
  const atLeast = length !== undefined && length > HELD_BODY_BYTES ? 0 : HELD_BODY_BYTES;
  const slotRequest = (known: Scanned): boolean => known === false || (known === "known" && readOn === true);
  // A spooled body is spooled completely: most of it has arrived by then, and it can be resent.
  for (let known: Scanned = false; slotRequest(known) || store.onDisk || store.length < atLeast; ) {
    const chunk = (await rest.read()).value;
    if (chunk === undefined) {
      requireAll(store.length, length);
      return { store };
    }
    if (store.length + chunk.length > maxBytes) throw tooLarge(maxBytes);
    if (known !== true) known = await enough(chunk);
    if (known === false) await store.append(chunk, HELD_BODY_BYTES);
    // The last chunk before the rest passes through need not go to disk.
    else if (!(await store.tryAppend(chunk, slotRequest(known) ? HELD_BODY_BYTES : Number.POSITIVE_INFINITY)))
      return { store, ahead: chunk, rest, announced: length };
    if (store.onDisk) discard(chunk);
  }
  return { store, rest, announced: length };
}

/** Throws `canceled` when a body has ended before its announced length. */
function requireAll(length: number, announced = 0): void {
  if (length < announced) throw canceled(new Error(`received ${length} of ${announced} bytes`));
}

function tooLarge(limit: number): NfrxError {
  return new NfrxError("too_large", `the request body exceeds ${limit} bytes`);
}
