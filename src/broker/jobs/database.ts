// The file of SQLite that jobs are in, or the memory.
import { Database, type Statement } from "bun:sqlite";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { MIGRATIONS, SCHEMA_VERSION } from "./migrations.ts";
import type { Row, Value } from "./rows.ts";

/** What SQLite calls a database that is no file. */
export const MEMORY_PATH = ":memory:";

/** A file that is a database, but none that we may write. */
export class ForeignFileError extends Error {}

/** A database that belongs to this process, with the tables of the jobs in it. */
export class JobsDatabase {
  readonly #db: Database;
  readonly #prepared = new Map<string, Statement<Row, Value[]>>();

  /** Opens it. Throws when it cannot be used, or another process uses it. */
  constructor(path: string) {
    const isFile = path !== MEMORY_PATH;
    if (isFile) make(path);
    this.#db = new Database(path, { create: true, strict: true });
    try {
      // A file that another process has stays that process' own: to wait for it would only delay the start.
      this.#db.run("PRAGMA busy_timeout = 0");
      // Before anything is changed, the file's mode and header included.
      this.#requireOurs();
      if (isFile && process.platform !== "win32") chmodSync(path, 0o600);
      this.#prepare();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Runs `work` as one transaction. What it throws takes the transaction back, and is thrown. */
  transact(work: () => void): void {
    try {
      this.#db.run("BEGIN IMMEDIATE");
      work();
      this.#db.run("COMMIT");
    } catch (error) {
      this.#rollBack();
      throw error;
    }
  }

  /** Moves what is in the log to its place when that can be, so that the log has room though the disk has none. */
  reclaim(): void {
    try {
      this.#db.run("PRAGMA wal_checkpoint(RESTART)");
    } catch {
      // the disk is as full as before
    }
  }

  all(sql: string, ...values: Value[]): Row[] {
    return this.#statement(sql).all(...values);
  }

  /** What a query names `n`, in its first row; 0 when there is none. */
  number(sql: string, ...values: Value[]): number {
    return Number(this.all(sql, ...values)[0]?.["n"] ?? 0);
  }

  change(sql: string, ...values: Value[]): { changes: number; lastInsertRowid: number | bigint } {
    return this.#statement(sql).run(...values);
  }

  close(): void {
    for (const statement of this.#prepared.values()) statement.finalize();
    this.#db.close();
  }

  #requireOurs(): void {
    const version = this.#version;
    if (version > SCHEMA_VERSION)
      throw new ForeignFileError(
        `it was written by a newer version of nfrx (its schema is ${version}, ours is ${SCHEMA_VERSION})`,
      );
    const tables = this.all("SELECT name FROM sqlite_schema WHERE type = 'table'").map(({ name }) => name);
    if (version === 0 ? tables.length > 0 : !tables.includes("jobs"))
      throw new ForeignFileError("it holds something else than jobs");
  }

  #prepare(): void {
    this.#db.run("PRAGMA locking_mode = EXCLUSIVE");
    this.#db.run("PRAGMA journal_mode = WAL");
    this.#db.run("PRAGMA synchronous = FULL");
    // The lock is taken by the first write.
    this.transact(() => {
      for (const migrate of MIGRATIONS.slice(this.#version)) migrate(this);
      this.#db.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    });
  }

  get #version(): number {
    return this.number("SELECT user_version AS n FROM pragma_user_version");
  }

  /** SQLite has done so itself after some errors, and a disk that cannot be written may not let it. */
  #rollBack(): void {
    try {
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
    } catch {
      // the next BEGIN fails and says so
    }
  }

  #statement(sql: string): Statement<Row, Value[]> {
    let statement = this.#prepared.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare<Row, Value[]>(sql);
      this.#prepared.set(sql, statement);
    }
    return statement;
  }
}

/** Makes the file when it is not there. Only its user may read it, nor the log beside it, whose mode SQLite takes from the file. */
function make(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (!existsSync(path)) writeFileSync(path, "", { mode: 0o600, flag: "wx" });
}
