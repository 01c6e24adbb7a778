// Which store the jobs are kept in.
import { defaultJobsFile } from "../../config/paths.ts";
import { messageOf } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import { SqliteStore, type StoreLimits } from "./sqlite.ts";
import type { JobStore } from "./store.ts";

/** The word for a store that does not outlive the process. */
export const MEMORY = "memory";

/**
 * Opens the store that JOBS_STORE names: `memory`, or a file. Unset it is a file in the state directory, and memory, with a
 * warning, where that cannot be used. Throws when a file that was named cannot be used.
 */
export function openStore(named: string, clock: Clock, limits: StoreLimits, log: Logger): JobStore {
  if (named === MEMORY) return new SqliteStore(":memory:", clock, limits);
  const path = named || defaultJobsFile({ platform: process.platform, env: process.env });
  try {
    return new SqliteStore(path, clock, limits);
  } catch (error) {
    if (named !== "") throw new Error(`JOBS_STORE: ${path} cannot be used: ${messageOf(error)}`, { cause: error });
    log.warn({ path, cause: messageOf(error) }, "jobs are kept in memory and end with this process: set JOBS_STORE");
    return new SqliteStore(":memory:", clock, limits);
  }
}
