// The database that jobs are in.
import { SqliteFile } from "../../../lib/sqlite.ts";
import { MIGRATIONS } from "./migrations.ts";

/** Opens the file, or memory. Throws when it cannot be used, or another process uses it. */
export class JobsDatabase extends SqliteFile {
  constructor(path: string) {
    super(path, { content: "jobs", table: "jobs", migrations: MIGRATIONS });
  }
}
