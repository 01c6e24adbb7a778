// Jobs in SQLite: in a file that outlives the process, or in memory.
import { Database, type Statement } from "bun:sqlite";
import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { NfrxError } from "../../lib/errors.ts";
import type { Clock } from "../../lib/time.ts";
import { Batches } from "./batches.ts";
import { Deadlines } from "./deadlines.ts";
import { type Claim, type Claimer, isHeld, type Job, type JobStatus, STATUSES } from "./job.ts";
import { judge } from "./machine.ts";
import {
  decode,
  encode,
  HELD,
  isBefore,
  OLDEST_ENDED,
  type Row,
  SCHEMA,
  SCHEMA_VERSION,
  USED_BYTES,
  type Value,
  WHOLE,
} from "./rows.ts";
import type { Draft, JobQuery, JobStore, StoreOverview } from "./store.ts";

/** How much a store holds. */
export interface StoreLimits {
  /** Jobs, those that have ended included. */
  maxJobs: number;
  /** Bytes of its pages; beyond them no job is added, while those that are there go on. */
  maxBytes: number;
}

/** Milliseconds to wait for a file that a process which is just ending still holds. */
const BUSY_MS = 2000;
/** Milliseconds after which a lapsed lease that is still there is told of again, or the length of the lease. */
const AGAIN_MS = 10_000;
/** Ended jobs that go at once when there is no room for a new one. */
const ROOM_BATCH = 100;

/** Keeps jobs in a file that belongs to one process, and is written before anything is answered; or in memory. */
export class SqliteStore implements JobStore {
  readonly #db: Database;
  readonly #leases: Deadlines;
  readonly #holders = new Map<string, Claim>();
  readonly #prepared = new Map<string, Statement<Row, Value[]>>();
  readonly #batches: Batches;
  #jobs = 0;
  #lapsed: (id: string, claimId: string) => void = () => {};

  /** Opens the file, or memory for ":memory:". Throws when it cannot be used, or another process uses it. */
  constructor(
    path: string,
    clock: Clock,
    private readonly limits: StoreLimits,
  ) {
    if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#db = new Database(path, { create: true, strict: true });
    try {
      this.#prepare(path);
    } catch (error) {
      this.#db.close();
      throw error;
    }
    this.#leases = new Deadlines(clock, id => {
      const claim = this.#holders.get(id);
      if (claim === undefined) return;
      // Told again should nothing come of it.
      this.#leases.set(id, Math.min(claim.leaseMs, AGAIN_MS));
      this.#lapsed(id, claim.id);
    });
    this.#batches = new Batches(this.#db, () => this.#reread());
    // Nobody could renew a lease while this process was not there: all of them begin anew.
    this.#reread();
  }

  async add(draft: Draft): Promise<{ job: Job; added: boolean }> {
    return this.#batches.write(() => {
      const { owner, idempotency, metadata } = draft;
      if (idempotency !== undefined) {
        const [row] = this.#all(`${WHOLE} WHERE owner = ? AND idem_key = ?`, owner, idempotency.key);
        if (row !== undefined) return { job: decode(row), added: false };
      }
      this.#requireRoom();
      const values = encode(draft);
      const columns = Object.keys(values);
      const { lastInsertRowid } = this.#statement(
        `INSERT INTO jobs (${columns.join()}) VALUES (${columns.map(() => "?").join()})`,
      ).run(...Object.values(values));
      const seq = Number(lastInsertRowid);
      if (metadata !== "") this.#statement("INSERT INTO metadata (seq, json) VALUES (?, ?)").run(seq, metadata);
      this.#jobs++;
      return { job: { ...draft, seq }, added: true };
    });
  }

  async get(id: string): Promise<Job | undefined> {
    const [row] = this.#all(`${WHOLE} WHERE id = ?`, id);
    return row && decode(row);
  }

  async swap(before: Job, after: Job): Promise<boolean> {
    return this.#batches.write(() => this.#replace(before, after));
  }

  async claim(claimer: Claimer, claim: Claim): Promise<Job | undefined> {
    return this.#batches.write(() => {
      const before = this.#first(claimer);
      const after = before && judge(before, { does: "claim", claim }, claim.at);
      return before !== undefined && after !== undefined && this.#replace(before, after) ? after : undefined;
    });
  }

  async renew(id: string, claimId: string): Promise<boolean> {
    const claim = this.#holders.get(id);
    if (claim?.id !== claimId) return false;
    this.#leases.set(id, claim.leaseMs);
    return true;
  }

  onLapse(tell: (id: string, claimId: string) => void): void {
    this.#lapsed = tell;
  }

  async position(job: Job): Promise<number> {
    const before = "priority > ? OR (priority = ? AND seq <= ?)";
    return this.#number(
      `SELECT count(*) AS n FROM jobs WHERE status = 'queued' AND (${before})`,
      job.priority,
      job.priority,
      job.seq,
    );
  }

  async list({ owner, statuses, type, limit }: JobQuery): Promise<Job[]> {
    const wanted = [
      "owner = ?",
      ...(statuses.length > 0 ? [`status IN (${statuses.map(() => "?").join()})`] : []),
      ...(type === undefined ? [] : ["type = ?"]),
    ].join(" AND ");
    const values = [owner, ...statuses, ...(type === undefined ? [] : [type])];
    return this.#all(`${WHOLE} WHERE ${wanted} ORDER BY seq DESC LIMIT ?`, ...values, limit).map(decode);
  }

  async live(): Promise<string[]> {
    return this.#all("SELECT id FROM jobs WHERE ended_at IS NULL").map(({ id }) => String(id));
  }

  async overview(recent: number): Promise<StoreOverview> {
    const counts = { ...NONE };
    for (const row of this.#all("SELECT status, count(*) AS n FROM jobs GROUP BY status")) {
      const status = STATUSES.find(word => word === row["status"]);
      if (status !== undefined) counts[status] = Number(row["n"]);
    }
    const time = (sql: string): number | undefined => this.#number(sql) || undefined;
    return {
      counts,
      oldestQueuedAt: time("SELECT min(created_at) AS n FROM jobs WHERE status = 'queued'"),
      oldestClaimedAt: time("SELECT min(claimed_at) AS n FROM jobs WHERE ended_at IS NULL AND status <> 'queued'"),
      recent: this.#all(`${WHOLE} ORDER BY seq DESC LIMIT ?`, recent).map(decode),
    };
  }

  async forget(endedBefore: number, keep: number, limit: number): Promise<string[]> {
    return this.#batches.write(() => {
      const ended = this.#number("SELECT count(*) AS n FROM jobs WHERE ended_at IS NOT NULL");
      const rows = this.#all(OLDEST_ENDED, limit).filter(
        (row, at) => at < ended - keep || Number(row["ended_at"]) < endedBefore,
      );
      this.#delete(rows);
      return rows.map(({ id }) => String(id));
    });
  }

  async firstEnd(): Promise<number | undefined> {
    return this.#number("SELECT min(ended_at) AS n FROM jobs WHERE ended_at IS NOT NULL") || undefined;
  }

  async close(): Promise<void> {
    this.#leases.close();
    await this.#batches.close();
    for (const statement of this.#prepared.values()) statement.finalize();
    this.#db.close();
  }

  #prepare(path: string): void {
    this.#db.run(`PRAGMA busy_timeout = ${BUSY_MS}`);
    this.#db.run("PRAGMA locking_mode = EXCLUSIVE");
    this.#db.run("PRAGMA journal_mode = WAL");
    this.#db.run("PRAGMA synchronous = FULL");
    // The lock is taken by the first write.
    this.#db.run("BEGIN IMMEDIATE");
    const version = this.#number("SELECT user_version AS n FROM pragma_user_version");
    if (version > SCHEMA_VERSION) throw new Error(`${path} was written by a newer version of nfrx`);
    if (version === 0) for (const statement of SCHEMA) this.#db.run(statement);
    this.#db.run(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    this.#db.run("COMMIT");
    if (path !== ":memory:" && process.platform !== "win32") chmodSync(path, 0o600);
  }

  /** The first job in line that suits, looked up in each line that the claimer may take from. */
  #first({ types, workerId, workerGroup }: Claimer): Job | undefined {
    let best: Row | undefined;
    const lines = "status = 'queued' AND worker_id = ? AND worker_group = ?";
    const order = "ORDER BY priority DESC, seq LIMIT 1";
    for (const worker of new Set(["", workerId])) {
      for (const group of new Set(["", workerGroup])) {
        const rows =
          types.length === 0
            ? this.#all(`SELECT seq, priority FROM jobs WHERE ${lines} ${order}`, worker, group)
            : types.flatMap(type =>
                this.#all(`SELECT seq, priority FROM jobs WHERE ${lines} AND type = ? ${order}`, worker, group, type),
              );
        for (const row of rows) if (best === undefined || isBefore(row, best)) best = row;
      }
    }
    const [row] = best === undefined ? [] : this.#all(`${WHOLE} WHERE jobs.seq = ?`, Number(best["seq"]));
    return row && decode(row);
  }

  #replace(before: Job, after: Job): boolean {
    const values = encode(after);
    const columns = Object.keys(values);
    const { changes } = this.#statement(
      `UPDATE jobs SET ${columns.map(column => `${column} = ?`).join()} WHERE seq = ? AND rev = ?`,
    ).run(...Object.values(values), before.seq, before.rev);
    if (changes === 0) return false;
    this.#lease(after);
    return true;
  }

  /** Keeps the lease of a job that is held, and of no other. */
  #lease(job: Job): void {
    const { id, claim } = job;
    if (claim === undefined || !isHeld(job)) this.#release(id);
    else {
      this.#holders.set(id, claim);
      this.#leases.set(id, claim.leaseMs);
    }
  }

  #release(id: string): void {
    this.#holders.delete(id);
    this.#leases.delete(id);
  }

  /** Makes room at the cost of jobs that have ended. Throws `overloaded` when there are none left. */
  #requireRoom(): void {
    while (this.#jobs >= this.limits.maxJobs || this.#number(USED_BYTES) >= this.limits.maxBytes) {
      const oldest = this.#all(OLDEST_ENDED, ROOM_BATCH);
      if (oldest.length === 0) throw new NfrxError("overloaded", "the jobs queue is full", { retryAfterSeconds: 10 });
      this.#delete(oldest);
    }
  }

  #delete(rows: readonly Row[]): void {
    for (const { seq } of rows) {
      this.#statement("DELETE FROM metadata WHERE seq = ?").run(Number(seq));
      this.#statement("DELETE FROM jobs WHERE seq = ?").run(Number(seq));
    }
    this.#jobs -= rows.length;
  }

  /** Reads anew what is noted beside a transaction that was taken back. */
  #reread(): void {
    this.#jobs = this.#number("SELECT count(*) AS n FROM jobs");
    const held = new Map(this.#all(HELD).map(row => [String(row["id"]), decode(row)]));
    for (const id of this.#holders.keys()) if (!held.has(id)) this.#release(id);
    for (const [id, job] of held) if (this.#holders.get(id)?.id !== job.claim?.id) this.#lease(job);
  }

  #number(sql: string, ...values: (string | number)[]): number {
    return Number(this.#all(sql, ...values)[0]?.["n"] ?? 0);
  }

  #all(sql: string, ...values: (string | number)[]): Row[] {
    return this.#statement(sql).all(...values);
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

const NONE: Readonly<Record<JobStatus, number>> = {
  queued: 0,
  claimed: 0,
  awaiting_payload: 0,
  running: 0,
  awaiting_result: 0,
  completed: 0,
  failed: 0,
  canceled: 0,
};
