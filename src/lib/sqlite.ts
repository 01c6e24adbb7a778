// A database of SQLite that belongs to this process: a file, or memory.
import { Database, type Statement } from "bun:sqlite";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** A value of SQLite. */
export type Value = string | number | null;
export type Row = Record<string, Value>;

/** The tables of a database, and their migrations. */
export interface Schema {
  /** Plural noun for the content, for errors. */
  readonly content: string;
  /** A table by which a file is recognized. */
  readonly table: string;
  /**
   * The step at index n makes version n + 1 out of version n; all that are missing run in one transaction. A step that has
   * been released is never changed, and a change of the tables is another step.
   */
  readonly migrations: readonly ((db: Pick<SqliteFile, "all" | "change">) => void)[];
}

/** SQLite's name of an in-memory database. */
export const MEMORY_PATH = ":memory:";

/** A database file that is not ours to write. */
export class ForeignFileError extends Error {}

/** A database that belongs to this process alone. */
export class SqliteFile {
  readonly #db: Database;
  readonly #prepared = new Map<string, Statement<Row, Value[]>>();

  /** Opens it. Throws when it cannot be used, or another process uses it. */
  constructor(
    path: string,
    private readonly schema: Schema,
  ) {
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

  /** Runs `work` in a transaction. An error rolls it back and is rethrown. */
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

  /** Checkpoints the log if possible, so that the log has space even if the disk is full. */
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

  /** The value `n` of a query's first row; 0 if there is no row. */
  number(sql: string, ...values: Value[]): number {
    return Number(this.all(sql, ...values)[0]?.["n"] ?? 0);
  }

  change(sql: string, ...values: Value[]): { changes: number; lastInsertRowid: number | bigint } {
    return this.#statement(sql).run(...values);
  }

  /** Writes a copy, which is whole at one moment, to a new file that only its owner can read. Throws when the file exists. */
  copyTo(file: string): void {
    if (existsSync(file)) throw new Error(`${file} exists`);
    this.change("VACUUM INTO ?", file);
    if (process.platform !== "win32") chmodSync(file, 0o600);
  }

  close(): void {
    for (const statement of this.#prepared.values()) statement.finalize();
    this.#db.close();
  }

  #requireOurs(): void {
    const { content, table, migrations } = this.schema;
    // Both reads see the file at one moment: another process may be creating it.
    this.#db.run("BEGIN");
    let version: number;
    let tables: unknown[];
    try {
      version = this.#version;
      tables = this.all("SELECT name FROM sqlite_schema WHERE type = 'table'").map(({ name }) => name);
    } finally {
      this.#rollBack();
    }
    if (version > migrations.length)
      throw new ForeignFileError(
        `it was written by a newer version of nfrx (schema ${version}; this version supports ${migrations.length})`,
      );
    if (version === 0 ? tables.length > 0 : !tables.includes(table))
      throw new ForeignFileError(`it contains something other than ${content}`);
  }

  #prepare(): void {
    this.#db.run("PRAGMA locking_mode = EXCLUSIVE");
    this.#db.run("PRAGMA journal_mode = WAL");
    this.#db.run("PRAGMA synchronous = FULL");
    // The lock is taken by the first write.
    this.transact(() => {
      const { migrations } = this.schema;
      for (const migrate of migrations.slice(this.#version)) migrate(this);
      this.#db.run(`PRAGMA user_version = ${migrations.length}`);
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
      // the next BEGIN fails with the error
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

/**
 * Creates the file if it does not exist. Only its user can read it and its log, whose mode SQLite copies from the file.
 */
function make(path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (!existsSync(path)) writeFileSync(path, "", { mode: 0o600, flag: "wx" });
}
