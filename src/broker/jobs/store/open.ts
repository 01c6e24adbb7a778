// Which store the jobs are kept in.
import { defaultJobsFile } from "../../../config/paths.ts";
import type { Logger } from "../../../lib/log.ts";
import { openSqlite } from "../../../lib/open-sqlite.ts";
import type { Clock } from "../../../lib/time.ts";
import type { JobLimits } from "./job-shares.ts";
import { SqliteStore } from "./sqlite.ts";
import type { JobStore } from "./store.ts";

/** Opens the store that JOBS_STORE names, as `openSqlite` describes. */
export function openStore(named: string, clock: Clock, limits: JobLimits, log: Logger): JobStore {
  return openSqlite({
    option: "JOBS_STORE",
    named,
    standard: defaultJobsFile({ platform: process.platform, env: process.env }),
    inMemory: "jobs are stored in memory and lost when this process ends",
    elsewhere:
      "another broker uses the jobs file: this broker stores its jobs in memory, where they are lost when it ends, and does not share them with the other broker",
    log,
    open: path => new SqliteStore(path, clock, limits),
  });
}
