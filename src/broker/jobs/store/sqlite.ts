// Jobs in SQLite: in a file that outlives the process, or in memory.
import { NfrxError } from "../../../lib/errors.ts";
import { MEMORY_PATH, type Row } from "../../../lib/sqlite.ts";
import type { Clock } from "../../../lib/time.ts";
import { type Claim, type Claimer, type Job, type JobStatus, STATUSES } from "../job.ts";
import { transition } from "../machine.ts";
import { Batches } from "./batches.ts";
import { JobsDatabase } from "./database.ts";
import { bytesOf, type JobLimits, JobShares } from "./job-shares.ts";
import { Leases } from "./leases.ts";
import {
  decode,
  encode,
  HELD,
  isBefore,
  LIVE,
  OLDEST_CLAIMED,
  OLDEST_ENDED,
  OLDEST_ENDED_OF,
  OLDEST_QUEUED,
  QUEUED,
  USED_BY_CALLERS,
  USED_BYTES,
  WHOLE,
} from "./rows.ts";
import type { Draft, JobQuery, JobStore, LiveJob, StoreOverview, StoreWatcher } from "./store.ts";

/** Finished jobs that are deleted in a batch when there is no space for a new one. */
const ROOM_BATCH = 100;

/** Keeps jobs in a file that belongs to one process, and is written before anything is answered; or in memory. */
export class SqliteStore implements JobStore {
  readonly durable: boolean;
  readonly #db: JobsDatabase;
  readonly #leases: Leases;
  readonly #batches: Batches;
  readonly #watchers = new Set<StoreWatcher>();
  readonly #shares: JobShares;
  #jobs = 0;
  /** State of the watchers. */
  #held = 0;
  #failing = false;

  /** Opens the file, or memory for ":memory:". Throws when it cannot be used, or another process uses it. */
  constructor(
    path: string,
    clock: Clock,
    private readonly limits: JobLimits,
  ) {
    this.durable = path !== MEMORY_PATH;
    this.#shares = new JobShares(limits);
    this.#db = new JobsDatabase(path);
    this.#leases = new Leases(clock, (id, claimId) => this.#tell(watcher => watcher.lapsed?.(id, claimId)));
    this.#batches = new Batches(this.#db, { written: () => this.#written(), undone: cause => this.#undone(cause) });
    try {
      // Leases could not be renewed while the process was down: all of them restart.
      this.#reread();
    } catch (error) {
      this.#leases.close();
      this.#db.close();
      throw error;
    }
  }

  watch(watcher: StoreWatcher, signal: AbortSignal): void {
    if (signal.aborted) return;
    this.#watchers.add(watcher);
    signal.addEventListener("abort", () => this.#watchers.delete(watcher), { once: true });
    watcher.held?.(this.#held);
  }

  async add(draft: Draft): Promise<{ job: Job; added: boolean }> {
    return this.#batches.write(
      () => {
        const { owner, idempotency, metadata } = draft;
        if (idempotency !== undefined) {
          const [row] = this.#db.all(`${WHOLE} WHERE owner = ? AND idem_key = ?`, owner, idempotency.key);
          if (row !== undefined) return { job: decode(row), added: false };
        }
        const bytes = bytesOf(draft);
        this.#requireShare(draft.caller, bytes);
        this.#requireRoom();
        const values = { ...encode(draft), bytes };
        const columns = Object.keys(values);
        const { lastInsertRowid } = this.#db.change(
          `INSERT INTO jobs (${columns.join()}) VALUES (${columns.map(() => "?").join()})`,
          ...Object.values(values),
        );
        const seq = Number(lastInsertRowid);
        if (metadata !== "") this.#db.change("INSERT INTO metadata (seq, json) VALUES (?, ?)", seq, metadata);
        this.#jobs++;
        this.#shares.added(draft.caller, bytes);
        return { job: { ...draft, seq }, added: true };
      },
      ({ job, added }) => added && this.#changed(undefined, job),
    );
  }

  async get(id: string): Promise<Job | undefined> {
    const [row] = this.#db.all(`${WHOLE} WHERE id = ?`, id);
    return row && decode(row);
  }

  async compareAndSet(before: Job, after: Job): Promise<boolean> {
    return this.#batches.write(
      () => this.#replace(before, after),
      replaced => replaced && this.#changed(before, after),
    );
  }

  async claim(claimer: Claimer, claim: Claim): Promise<Job | undefined> {
    const change = await this.#batches.write(
      () => {
        const before = this.#first(claimer);
        const after = before && transition(before, { does: "claim", claim }, claim.at);
        return before !== undefined && after !== undefined && this.#replace(before, after)
          ? { before, after }
          : undefined;
      },
      written => written && this.#changed(written.before, written.after),
    );
    return change?.after;
  }

  async renew(id: string, claimId: string): Promise<boolean> {
    return this.#leases.renew(id, claimId);
  }

  async position({ priority, seq }: Job): Promise<number> {
    const before = `${QUEUED} AND priority > ?`;
    const among = `${QUEUED} AND priority = ? AND seq <= ?`;
    return this.#db.number(before, priority) + this.#db.number(among, priority, seq);
  }

  async list({ owner, statuses, type, limit }: JobQuery): Promise<Job[]> {
    const wanted = [
      "owner = ?",
      ...(statuses.length > 0 ? [`status IN (${statuses.map(() => "?").join()})`] : []),
      ...(type === undefined ? [] : ["type = ?"]),
    ].join(" AND ");
    const values = [owner, ...statuses, ...(type === undefined ? [] : [type])];
    return this.#db.all(`${WHOLE} WHERE ${wanted} ORDER BY seq DESC LIMIT ?`, ...values, limit).map(decode);
  }

  async live(): Promise<LiveJob[]> {
    return this.#db.all(LIVE).map(row => ({ id: String(row["id"]), cancelWhenUnwatched: Boolean(row["unwatched"]) }));
  }

  async overview(recent: number): Promise<StoreOverview> {
    const counts = { ...NONE };
    for (const row of this.#db.all("SELECT status, count(*) AS n FROM jobs GROUP BY status")) {
      const status = STATUSES.find(word => word === row["status"]);
      if (status !== undefined) counts[status] = Number(row["n"]);
    }
    return {
      counts,
      oldestQueuedAt: this.#db.number(OLDEST_QUEUED) || undefined,
      oldestClaimedAt: this.#db.number(OLDEST_CLAIMED) || undefined,
      recent: this.#db.all(`${WHOLE} ORDER BY seq DESC LIMIT ?`, recent).map(decode),
    };
  }

  async forget(endedBefore: number, keep: number, limit: number): Promise<string[]> {
    return this.#batches.write(() => {
      const ended = this.#db.number("SELECT count(*) AS n FROM jobs WHERE ended_at IS NOT NULL");
      const rows = this.#db
        .all(OLDEST_ENDED, limit)
        .filter((row, at) => at < ended - keep || Number(row["ended_at"]) < endedBefore);
      this.#delete(rows);
      return rows.map(({ id }) => String(id));
    });
  }

  async firstEnd(): Promise<number | undefined> {
    return this.#db.number("SELECT min(ended_at) AS n FROM jobs WHERE ended_at IS NOT NULL") || undefined;
  }

  async copyTo(file: string): Promise<void> {
    this.#db.copyTo(file);
  }

  async close(): Promise<void> {
    this.#leases.close();
    await this.#batches.close();
    this.#db.close();
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
            ? this.#db.all(`SELECT seq, priority FROM jobs WHERE ${lines} ${order}`, worker, group)
            : types.flatMap(type =>
                this.#db.all(
                  `SELECT seq, priority FROM jobs WHERE ${lines} AND type = ? ${order}`,
                  worker,
                  group,
                  type,
                ),
              );
        for (const row of rows) if (best === undefined || isBefore(row, best)) best = row;
      }
    }
    const [row] = best === undefined ? [] : this.#db.all(`${WHOLE} WHERE jobs.seq = ?`, Number(best["seq"]));
    return row && decode(row);
  }

  #replace(before: Job, after: Job): boolean {
    const values = encode(after);
    const columns = Object.keys(values);
    const set = columns.map(column => `${column} = ?`).join();
    const sql = `UPDATE jobs SET ${set} WHERE seq = ? AND rev = ?`;
    const { changes } = this.#db.change(sql, ...Object.values(values), before.seq, before.rev);
    if (changes === 0) return false;
    this.#leases.changed(after);
    return true;
  }

  #changed(before: Job | undefined, after: Job): void {
    this.#tell(watcher => watcher.changed?.(before, after));
    if (after.status === "queued") this.#tell(watcher => watcher.queued?.(after));
  }

  /** Makes room for a caller at the cost of its own jobs that have ended. Throws `limit_exceeded` when there are none left. */
  #requireShare(caller: string, bytes: number): void {
    while (!this.#shares.hasRoom(caller, bytes)) {
      const oldest = this.#db.all(OLDEST_ENDED_OF, caller, ROOM_BATCH);
      if (oldest.length === 0) throw this.#shares.refusal();
      this.#delete(oldest);
    }
  }

  /** Makes room at the cost of jobs that have ended. Throws `overloaded` when there are none left. */
  #requireRoom(): void {
    while (this.#jobs >= this.limits.maxJobs || this.#db.number(USED_BYTES) >= this.limits.maxBytes) {
      const oldest = this.#db.all(OLDEST_ENDED, ROOM_BATCH);
      if (oldest.length === 0) throw new NfrxError("overloaded", "the jobs queue is full", { retryAfterSeconds: 10 });
      this.#delete(oldest);
    }
  }

  #delete(rows: readonly Row[]): void {
    for (const { seq } of rows) {
      this.#db.change("DELETE FROM metadata WHERE seq = ?", Number(seq));
      this.#db.change("DELETE FROM jobs WHERE seq = ?", Number(seq));
    }
    this.#jobs -= rows.length;
    this.#shares.deleted(rows);
  }

  #written(): void {
    if (this.#failing) this.#tell(watcher => watcher.recovered?.());
    this.#failing = false;
    this.#tellHeld();
  }

  #undone(cause: unknown): void {
    const first = !this.#failing;
    this.#failing = true;
    this.#tell(watcher => watcher.failed?.(cause, first));
    try {
      this.#reread();
      this.#db.reclaim();
    } catch (error) {
      this.#tell(watcher => watcher.failed?.(error, false));
    }
  }

  /** Rebuilds the in-memory indexes, as after a rollback. */
  #reread(): void {
    this.#jobs = this.#db.number("SELECT count(*) AS n FROM jobs");
    this.#shares.settle(this.#db.all(USED_BY_CALLERS));
    this.#leases.settle(this.#db.all(HELD).map(decode));
    this.#tellHeld();
  }

  #tellHeld(): void {
    if (this.#held === this.#leases.size) return;
    this.#held = this.#leases.size;
    this.#tell(watcher => watcher.held?.(this.#held));
  }

  #tell(say: (watcher: StoreWatcher) => void): void {
    for (const watcher of this.#watchers) say(watcher);
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
