// Which file a store is in, and what to do when it cannot be opened.
import { SQLiteError } from "bun:sqlite";
import { messageOf } from "./errors.ts";
import type { Logger } from "./log.ts";
import { ForeignFileError, MEMORY_PATH } from "./sqlite.ts";

/** The word for a store that does not outlive the process. */
export const MEMORY = "memory";

export interface OpenSqlite<S> {
  /** The option that names the file, for errors. */
  readonly option: string;
  /** Its value: `memory`, a file, or empty. */
  readonly named: string;
  /** The file when it is empty. */
  readonly standard: string;
  /** Warning for a store in memory. */
  readonly inMemory: string;
  /** Warning when another broker uses the standard file. */
  readonly elsewhere: string;
  readonly log: Logger;
  open(path: string): S;
}

/**
 * Opens a store. When no file was named and the standard one cannot be made, or another process has it, the store is in memory,
 * with a warning. Throws when a file that was named cannot be used, and when any that is there is damaged, of a newer version or
 * somebody else's: what was acknowledged may be in it.
 */
export function openSqlite<S>(options: OpenSqlite<S>): S {
  const { option, named, standard, inMemory, elsewhere, log, open } = options;
  if (named === MEMORY) return open(MEMORY_PATH);
  const path = named || standard;
  try {
    return open(path);
  } catch (error) {
    const cause = reasonOf(error);
    if (named !== "" || isThere(error)) {
      const remedy = named === "" ? `; move it away, or set ${option}` : "";
      throw new Error(`${option}: cannot use ${path}: ${cause}${remedy}`, { cause: error });
    }
    log.warn({ path, cause }, `${isBusy(error) ? elsewhere : inMemory}; set ${option}`);
    return open(MEMORY_PATH);
  }
}

function reasonOf(error: unknown): string {
  return isBusy(error) ? "another process uses it; each broker needs its own file" : messageOf(error);
}

/** True for a file that another process has. */
function isBusy(error: unknown): boolean {
  return codeOf(error).startsWith("SQLITE_BUSY");
}

/** True for a file that is there, and that a store in memory would only hide. */
function isThere(error: unknown): boolean {
  return error instanceof ForeignFileError || /^SQLITE_(?:CORRUPT|NOTADB)/.test(codeOf(error));
}

function codeOf(error: unknown): string {
  return error instanceof SQLiteError ? (error.code ?? "") : "";
}
