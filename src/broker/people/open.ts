// Which store keys, usage and the audit are kept in.
import { defaultPeopleFile } from "../../config/paths.ts";
import type { Logger } from "../../lib/log.ts";
import { openSqlite } from "../../lib/open-sqlite.ts";
import type { Clock } from "../../lib/time.ts";
import { SqlitePeopleStore } from "./sqlite-store.ts";
import type { PeopleStore } from "./store.ts";

/** Opens the store that KEYS_STORE names, as `openSqlite` describes. */
export function openPeopleStore(named: string, clock: Clock, log: Logger): PeopleStore {
  return openSqlite({
    option: "KEYS_STORE",
    named,
    standard: defaultPeopleFile({ platform: process.platform, env: process.env }),
    inMemory: "keys and usage are stored in memory and lost when this process ends",
    elsewhere: "another broker uses the file with the keys: this broker stores its own in memory",
    log,
    open: path => new SqlitePeopleStore(path, clock),
  });
}
