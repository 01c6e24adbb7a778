// A log file that never grows without bound.
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";

/** Maximum size of a log file in LOG_DIR, in bytes. Then it is renamed to .1 and a new one begins. */
const LOG_FILE_BYTES = 10 * 1024 * 1024;
/** Number of older log files that are kept; .1 is the newest. */
const LOG_FILES_KEPT = 4;

/** Where batches of log lines go; the number of bytes taken. Throws as `writeSync` does. */
export interface LogTarget {
  write(lines: Uint8Array): number;
}

/** `<name>.log` in a folder. Rotated by its own process, so two processes need two folders or names. */
export class LogFile implements LogTarget {
  readonly #path: string;
  #descriptor: number;
  #bytes: number;

  constructor(
    folder: string,
    name: string,
    readonly limit = LOG_FILE_BYTES,
    readonly kept = LOG_FILES_KEPT,
  ) {
    mkdirSync(folder, { recursive: true });
    this.#path = join(folder, `${name}.log`);
    this.#descriptor = openSync(this.#path, "a");
    this.#bytes = fstatSync(this.#descriptor).size;
  }

  write(lines: Uint8Array): number {
    if (this.#bytes > 0 && this.#bytes + lines.length > this.limit) this.#rotate();
    const written = writeSync(this.#descriptor, lines);
    this.#bytes += written;
    return written;
  }

  /** Closed first: Windows renames no file that is open. When it cannot be renamed, the old one is emptied. */
  #rotate(): void {
    closeSync(this.#descriptor);
    let flags = "a";
    for (let age = this.kept - 1; age >= 0; age--) {
      try {
        renameSync(age === 0 ? this.#path : `${this.#path}.${age}`, `${this.#path}.${age + 1}`);
      } catch {
        if (age === 0) flags = "w";
      }
    }
    this.#descriptor = openSync(this.#path, flags);
    this.#bytes = fstatSync(this.#descriptor).size;
  }
}
