// The stored part of a request body: in memory or, if large, on disk.
import { NfrxError, toNfrxError } from "../../../lib/errors.ts";
import type { Budget } from "./budget.ts";
import type { Spool, SpoolFile } from "./spool.ts";

/** Budgets of a body's bytes. */
export interface StoreLimits {
  memory: Budget;
  spool: Spool;
}

/** A body's first bytes, one after the other, all in memory or all on disk. Reading does not use them up. */
export class BodyStore {
  #chunks: Uint8Array[] = [];
  #file: SpoolFile | undefined;
  #length = 0;
  /** Bytes of memory that are counted. */
  #taken = 0;
  #released = false;

  constructor(
    private readonly limits: StoreLimits,
    private readonly holders: readonly string[],
  ) {}

  get length(): number {
    return this.#length;
  }

  get onDisk(): boolean {
    return this.#file !== undefined;
  }

  /** Takes a body that is in memory as a whole. */
  hold(bytes: Uint8Array): void {
    this.limits.memory.take(bytes.length, this.holders);
    this.#taken += bytes.length;
    this.#length += bytes.length;
    if (bytes.length > 0) this.#chunks.push(bytes);
  }

  /** Keeps a chunk: in memory up to `inMemory` bytes, beyond that on disk. Throws `overloaded`, with all else kept, when there is no room. */
  async append(chunk: Uint8Array, inMemory: number): Promise<void> {
    this.#requireOpen();
    if (this.#file === undefined && this.#length + chunk.length <= inMemory) return this.hold(chunk);
    if (this.#file === undefined) await this.#moveToDisk();
    await this.#file?.append(chunk);
    this.#length += chunk.length;
  }

  /** The same where it could be done without: false when there is no room. */
  async tryAppend(chunk: Uint8Array, inMemory: number): Promise<boolean> {
    try {
      await this.append(chunk, inMemory);
      return true;
    } catch (error) {
      // A disk that is full or cannot be used is no reason to fail.
      if (toNfrxError(error).code === "overloaded") return false;
      throw error;
    }
  }

  /** True when there is room enough for bytes that could be done without. */
  spares(bytes: number, inMemory: number): boolean {
    const { memory, spool } = this.limits;
    const place = this.#file === undefined && this.#length + bytes <= inMemory ? memory : spool;
    return place.spares(bytes, this.holders);
  }

  /** The chunk that stands at `position`, which must be where one begins; the reader may discard it only when it is `onDisk`. */
  async read(position: number): Promise<Uint8Array> {
    if (this.#file !== undefined) return (await this.#file.read(position)).subarray(0, this.#length - position);
    let at = 0;
    for (const chunk of this.#chunks) {
      if (at === position) return chunk;
      at += chunk.length;
    }
    throw new NfrxError("canceled", "the body is no longer needed");
  }

  /** All of it in one piece, when it is in memory. */
  join(): Uint8Array | undefined {
    if (this.#file !== undefined) return undefined;
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks, this.#length)];
    return this.#chunks[0];
  }

  /** Gives memory and disk back. Harmless when done again. */
  release(): void {
    this.#released = true;
    this.#chunks = [];
    this.#giveMemory();
    this.#file?.close();
  }

  async #moveToDisk(): Promise<void> {
    const file = await this.limits.spool.open(this.holders);
    try {
      for (const chunk of this.#chunks) await file.append(chunk);
      this.#requireOpen();
    } catch (error) {
      file.close();
      throw error;
    }
    this.#file = file;
    this.#chunks = [];
    this.#giveMemory();
  }

  #requireOpen(): void {
    if (this.#released) throw new NfrxError("canceled", "the body is no longer needed");
  }

  #giveMemory(): void {
    this.limits.memory.give(this.#taken, this.holders);
    this.#taken = 0;
  }
}
