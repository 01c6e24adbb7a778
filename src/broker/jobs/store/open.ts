// Which store the jobs are kept in.
import { defaultJobsFile } from "../../../config/paths.ts";
import { codeOf, messageOf } from "../../../lib/errors.ts";
import type { Logger } from "../../../lib/log.ts";
import { ForeignFileError, MEMORY_PATH } from "../../../lib/sqlite.ts";
import type { Clock } from "../../../lib/time.ts";
import type { JobLimits } from "./job-shares.ts";
import { SqliteStore } from "./sqlite.ts";
import type { JobStore } from "./store.ts";

/** Name of the in-memory store. */
export const MEMORY = "memory";

/**
 * Opens the store that JOBS_STORE names: `memory`, or a file. If unset, it is a file in the state directory; in memory,
 * with a warning, if the file cannot be created or another process uses it. Throws if a named file cannot be used, and
 * if any existing file is damaged, of a newer version, or not a jobs store, because it may contain acknowledged jobs.
 */
export function openStore(named: string, clock: Clock, limits: JobLimits, log: Logger): JobStore {
  if (named === MEMORY) return new SqliteStore(MEMORY_PATH, clock, limits);
  const path = named || defaultJobsFile({ platform: process.platform, env: process.env });
  try {
    return new SqliteStore(path, clock, limits);
  } catch (error) {
    const cause = reasonOf(error);
    if (named !== "" || isThere(error)) {
      const way = named === "" ? "move it away, or set JOBS_STORE" : "";
      throw new Error(`JOBS_STORE: cannot use ${path}: ${cause}${way && `; ${way}`}`, { cause: error });
    }
    log.warn(
      { path, cause },
      isBusy(error) ? OTHER_HAS_IT : "jobs are stored in memory and lost when this process ends: set JOBS_STORE",
    );
    return new SqliteStore(MEMORY_PATH, clock, limits);
  }
}

/** The warning of a second broker on the same file. */
const OTHER_HAS_IT =
  "another broker uses the jobs file: this broker stores its jobs in memory, where they are lost when it ends, and does not share them with the other broker; set JOBS_STORE to a separate file";

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
