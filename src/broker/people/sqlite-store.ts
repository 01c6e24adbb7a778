// Keys, machines, the ledger and the audit in SQLite: in a file that outlives the process, or in memory.
import { NfrxError } from "../../lib/errors.ts";
import { MEMORY_PATH, type Row, SqliteFile } from "../../lib/sqlite.ts";
import type { Clock } from "../../lib/time.ts";
import { type AuditLine, link, NO_HASH } from "./audit.ts";
import {
  type Change,
  type PeopleStore,
  type RecordKind,
  type StoredRecord,
  USAGE_ROWS_MAX,
  type UsageQuery,
  type UsageSum,
} from "./store.ts";
import { PEOPLE_SCHEMA } from "./tables.ts";
import { HOUR_MS, noUsage, USAGE_AMOUNTS, USAGE_FIELDS, type UsageRow, type UsageSeries } from "./usage.ts";

const SERIES = USAGE_FIELDS.join();
const INSERT_HOUR = `INSERT INTO ledger (hour, series, ${USAGE_AMOUNTS.join()})
  VALUES (?, ?, ${USAGE_AMOUNTS.map(() => "?").join()})
  ON CONFLICT (hour, series) DO UPDATE SET ${USAGE_AMOUNTS.map(name => `${name} = ${name} + excluded.${name}`).join()}`;
const SUMS = USAGE_AMOUNTS.map(name => `sum(${name}) AS ${name}`).join();
const TIMES = { hour: `hour * ${HOUR_MS}`, day: `hour / 24 * 24 * ${HOUR_MS}` };

/** Keeps everything in one file, which belongs to this process. */
export class SqlitePeopleStore implements PeopleStore {
  readonly durable: boolean;
  readonly #db: SqliteFile;
  /** The last line of the audit. */
  #seq: number;
  #hash: string;

  /** Opens the file, or memory for ":memory:". Throws when it cannot be used, or another process uses it. */
  constructor(
    path: string,
    private readonly clock: Clock,
  ) {
    this.durable = path !== MEMORY_PATH;
    this.#db = new SqliteFile(path, PEOPLE_SCHEMA);
    const [last] = this.#db.all("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1");
    this.#seq = Number(last?.["seq"] ?? 0);
    this.#hash = String(last?.["hash"] ?? NO_HASH);
  }

  async list(kind: RecordKind): Promise<StoredRecord[]> {
    const rows = this.#db.all("SELECT id, name, json FROM records WHERE kind = ? ORDER BY seq", kind);
    return rows.map(({ id, name, json }) => ({ id: String(id), name: String(name), json: String(json) }));
  }

  async add(kind: RecordKind, { id, name, json }: StoredRecord, change: Change): Promise<void> {
    this.#change(id, change, () => {
      this.#requireFree(kind, id, name);
      this.#db.change("INSERT INTO records (kind, id, name, json) VALUES (?, ?, ?, ?)", kind, id, name, json);
      return true;
    });
  }

  async replace(kind: RecordKind, { id, name, json }: StoredRecord, change: Change): Promise<boolean> {
    return this.#change(id, change, () => {
      this.#requireFree(kind, id, name);
      const set = "UPDATE records SET name = ?, json = ? WHERE kind = ? AND id = ?";
      return this.#db.change(set, name, json, kind, id).changes > 0;
    });
  }

  async remove(kind: RecordKind, id: string, change: Change): Promise<boolean> {
    return this.#change(
      id,
      change,
      () => this.#db.change("DELETE FROM records WHERE kind = ? AND id = ?", kind, id).changes > 0,
    );
  }

  async count(rows: readonly UsageRow[]): Promise<void> {
    this.#db.transact(() => {
      for (const row of rows) {
        const amounts = USAGE_AMOUNTS.map(name => Math.round(row[name]));
        this.#db.change(INSERT_HOUR, row.hour, this.#seriesOf(row), ...amounts);
      }
    });
  }

  async usage({ by, since, until, person, key }: UsageQuery): Promise<UsageSum[]> {
    const fields = by.filter(field => field !== "hour" && field !== "day");
    const time = by.includes("hour") ? TIMES.hour : by.includes("day") ? TIMES.day : undefined;
    const columns = [...fields, ...(time === undefined ? [] : [`${time} AS time`])];
    const where = ["hour >= ?", "hour < ?"];
    const values: (string | number)[] = [Math.floor(since / HOUR_MS), Math.ceil(until / HOUR_MS)];
    if (person !== undefined) {
      where.push("person = ?");
      values.push(person);
    }
    if (key !== undefined) {
      where.push("key = ?");
      values.push(key);
    }
    const groups = [...fields, ...(time === undefined ? [] : ["time"])];
    const rows = this.#db.all(
      `SELECT ${[...columns, SUMS].join()} FROM ledger JOIN series ON series.id = series
       WHERE ${where.join(" AND ")} ${groups.length > 0 ? `GROUP BY ${groups.join()}` : ""}
       ORDER BY ${time === undefined ? "" : "time, "}sum(tokens_in) + sum(tokens_out) DESC, sum(requests) DESC
       LIMIT ${USAGE_ROWS_MAX}`,
      ...values,
    );
    return rows.map(row => sumOf(row, fields, time !== undefined));
  }

  async forgetUsage(before: number): Promise<number> {
    let rows = 0;
    this.#db.transact(() => {
      rows = this.#db.change("DELETE FROM ledger WHERE hour < ?", Math.floor(before / HOUR_MS)).changes;
      this.#db.change("DELETE FROM series WHERE id NOT IN (SELECT series FROM ledger)");
    });
    return rows;
  }

  async audit(after: number, limit: number): Promise<AuditLine[]> {
    return this.#db.all("SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", after, limit).map(lineOf);
  }

  async lastAudit(limit: number): Promise<AuditLine[]> {
    return this.#db.all("SELECT * FROM audit ORDER BY seq DESC LIMIT ?", limit).map(lineOf);
  }

  async copyTo(file: string): Promise<void> {
    this.#db.copyTo(file);
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  /** Makes a change and writes its line; without a change there is no line. */
  #change(target: string, { actor, action, before, after }: Change, work: () => boolean): boolean {
    let line: AuditLine | undefined;
    this.#db.transact(() => {
      if (!work()) return;
      const event = { at: this.clock.wall(), actor, action, target, before, after };
      line = link(event, this.#seq + 1, this.#hash);
      this.#db.change(
        "INSERT INTO audit (seq, at, actor, action, target, before, after, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        line.seq,
        line.at,
        actor,
        action,
        target,
        before,
        after,
        line.hash,
      );
    });
    if (line === undefined) return false;
    this.#seq = line.seq;
    this.#hash = line.hash;
    return true;
  }

  #requireFree(kind: RecordKind, id: string, name: string): void {
    const taken = this.#db.number(
      "SELECT count(*) AS n FROM records WHERE kind = ? AND name = ? AND id <> ?",
      kind,
      name,
      id,
    );
    if (taken > 0) throw new NfrxError("exists", `there is already a ${kind} with the name ${name}`, { param: "name" });
  }

  #seriesOf({ person, key, module, model, worker }: UsageSeries): number {
    const values = [person, key, module, model, worker];
    const find = `SELECT id AS n FROM series WHERE ${USAGE_FIELDS.map(name => `${name} = ?`).join(" AND ")}`;
    const known = this.#db.number(find, ...values);
    if (known > 0) return known;
    return Number(this.#db.change(`INSERT INTO series (${SERIES}) VALUES (?, ?, ?, ?, ?)`, ...values).lastInsertRowid);
  }
}

function sumOf(row: Row, fields: readonly (keyof UsageSeries)[], timed: boolean): UsageSum {
  const sum = noUsage();
  for (const name of USAGE_AMOUNTS) sum[name] = Number(row[name] ?? 0);
  const series = Object.fromEntries(fields.map(field => [field, String(row[field])]));
  return { ...series, ...(timed && { time: Number(row["time"]) }), ...sum };
}

function lineOf(row: Row): AuditLine {
  const text = (name: string): string | null => (row[name] === null ? null : String(row[name]));
  return {
    seq: Number(row["seq"]),
    at: Number(row["at"]),
    actor: String(row["actor"]),
    action: String(row["action"]),
    target: String(row["target"]),
    before: text("before"),
    after: text("after"),
    hash: String(row["hash"]),
  };
}
