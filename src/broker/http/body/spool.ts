import { constants } from "node:fs";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, NfrxError, toNfrxError } from "../../../lib/errors.ts";
import type { Budget } from "./budget.ts";

/** Bytes of a spooled body that are read at once. */
const READ_BYTES = 64 * 1024;

/** Where bodies wait on disk that are too large to be held while their label is looked for. */
export class Spool {
  constructor(
    private readonly folder: string,
    private readonly budget: Budget,
  ) {}

  /** True when `bytes` can be kept that could be done without. */
  spares(bytes: number, holders: readonly string[]): boolean {
    return this.budget.spares(bytes, holders);
  }

  /** Why files cannot be kept there; undefined when they can. */
  async trouble(): Promise<string | undefined> {
    try {
      (await this.open()).close();
    } catch (error) {
      return String(toNfrxError(error).detail.cause);
    }
    return undefined;
  }

  /** A new, empty file that no other process can open. Throws `overloaded` if it cannot be created. */
  async open(holders: readonly string[] = []): Promise<SpoolFile> {
    const path = join(this.folder, `nfrx-upload-${crypto.randomUUID()}`);
    try {
      await mkdir(this.folder, { recursive: true });
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
      // Unlinked, it disappears with the process. Windows keeps the name of an open file.
      const named = await rm(path).then(
        () => false,
        () => true,
      );
      return new SpoolFile(handle, named ? path : undefined, this.budget, holders);
    } catch (error) {
      throw unusable(error);
    }
  }
}

/** One body on disk. Its calls wait for one another, so that it is never closed under a read. */
export class SpoolFile {
  #length = 0;
  #busy: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(
    private readonly handle: FileHandle,
    /** Set when the file has a name that is to be removed. */
    private readonly path: string | undefined,
    private readonly budget: Budget,
    private readonly holders: readonly string[],
  ) {}

  get length(): number {
    return this.#length;
  }

  /** Appends bytes. Throws `overloaded` if the disk or the budget is full. */
  async append(bytes: Uint8Array): Promise<void> {
    if (this.#closed) throw unwanted();
    this.budget.take(bytes.length, this.holders);
    const position = this.#length;
    this.#length += bytes.length;
    try {
      await this.#alone(async () => {
        for (let sent = 0; sent < bytes.length; ) {
          const { bytesWritten } = await this.handle.write(bytes, sent, bytes.length - sent, position + sent);
          sent += bytesWritten;
        }
      });
    } catch (error) {
      throw unusable(error);
    }
  }

  /** The bytes from `position` on, some tens of KiB; none at the end. */
  async read(position: number): Promise<Uint8Array> {
    try {
      const { bytesRead, buffer } = await this.#alone(() =>
        this.handle.read(new Uint8Array(READ_BYTES), 0, Math.min(READ_BYTES, this.#length - position), position),
      );
      if (bytesRead === 0 && position < this.#length)
        throw new Error("the spool file is shorter than the data written to it");
      return buffer.subarray(0, bytesRead);
    } catch (error) {
      throw unusable(error);
    }
  }

  /** Gives the disk back. Harmless when done again. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.budget.give(this.#length, this.holders);
    const done = this.#busy.then(async () => {
      await this.handle.close();
      if (this.path !== undefined) await rm(this.path, { force: true });
    });
    done.catch(() => {});
  }

  #alone<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#busy.then(() => {
      if (this.#closed) throw unwanted();
      return act();
    });
    this.#busy = done.catch(() => {});
    return done;
  }
}

function unwanted(): NfrxError {
  return new NfrxError("canceled", "the body is no longer needed");
}

function unusable(error: unknown): NfrxError {
  if (error instanceof NfrxError) return error;
  return new NfrxError("overloaded", "cannot store the upload on disk", {
    cause: messageOf(error),
    retryAfterSeconds: 60,
  });
}
