// A job as a row of SQLite: searched fields in columns, the rest as JSON.
import type { Row, Value } from "../../../lib/sqlite.ts";
import type { JsonText } from "../../http/body/json-body.ts";
import type { Claim, Job, JobError, JobTransfer } from "../job.ts";
import { isHeld, isStatus, STATUSES } from "../job.ts";
import type { Draft } from "./store.ts";

/** The first version of the tables; migrations.ts has what came later. Metadata, which never changes, has a table of its own, so that a change of state does not write it again. */
export const SCHEMA = [
  `CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    rev INTEGER NOT NULL,
    type TEXT NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER NOT NULL,
    worker_id TEXT NOT NULL,
    worker_group TEXT NOT NULL,
    owner TEXT NOT NULL,
    idem_key TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    claimed_at INTEGER,
    ended_at INTEGER,
    attempts INTEGER NOT NULL,
    rest TEXT NOT NULL
  ) STRICT`,
  "CREATE TABLE metadata (seq INTEGER PRIMARY KEY, json TEXT NOT NULL) STRICT",
  "CREATE INDEX line ON jobs (worker_id, worker_group, priority DESC, seq) WHERE status = 'queued'",
  "CREATE INDEX line_of_type ON jobs (worker_id, worker_group, type, priority DESC, seq) WHERE status = 'queued'",
  "CREATE INDEX place ON jobs (priority DESC, seq) WHERE status = 'queued'",
  "CREATE INDEX by_status ON jobs (status)",
  "CREATE INDEX by_end ON jobs (ended_at) WHERE ended_at IS NOT NULL",
  "CREATE INDEX by_owner ON jobs (owner, seq)",
  "CREATE UNIQUE INDEX by_key ON jobs (owner, idem_key) WHERE idem_key IS NOT NULL",
] as const;

interface Rest {
  claim?: Claim | undefined;
  progress?: JsonText | undefined;
  error?: JobError | undefined;
  transfers?: readonly JobTransfer[] | undefined;
  digest?: string | undefined;
  unwatched?: true | undefined;
}

/** Everything but its place in line and its metadata. */
export function encode(job: Draft): Record<string, Value> {
  const { claim, progress, error, transfers, idempotency } = job;
  const rest: Rest = {
    claim,
    progress,
    error,
    transfers: transfers.length > 0 ? transfers : undefined,
    digest: idempotency?.digest,
    unwatched: job.cancelWhenUnwatched || undefined,
  };
  return {
    id: job.id,
    rev: job.rev,
    type: job.type,
    status: job.status,
    priority: job.priority,
    worker_id: job.workerId,
    worker_group: job.workerGroup,
    owner: job.owner,
    caller: job.caller,
    idem_key: idempotency?.key ?? null,
    created_at: job.createdAt,
    updated_at: job.updatedAt,
    claimed_at: claim?.at ?? null,
    ended_at: job.endedAt ?? null,
    attempts: job.attempts,
    rest: JSON.stringify(rest),
  };
}

/** Decodes a row with its metadata. */
export function decode(row: Row): Job {
  const status = String(row["status"]);
  if (!isStatus(status)) throw new Error(`the jobs store has a job that is ${status}`);
  // Written only by `encode`: the file belongs to this program.
  const rest: Rest = JSON.parse(String(row["rest"]));
  const key = row["idem_key"];
  return {
    id: String(row["id"]),
    seq: Number(row["seq"]),
    rev: Number(row["rev"]),
    type: String(row["type"]),
    status,
    priority: Number(row["priority"]),
    metadata: String(row["metadata"] ?? ""),
    workerId: String(row["worker_id"]),
    workerGroup: String(row["worker_group"]),
    owner: String(row["owner"]),
    caller: String(row["caller"]),
    cancelWhenUnwatched: rest.unwatched ?? false,
    idempotency: typeof key === "string" ? { key, digest: rest.digest ?? "" } : undefined,
    claim: rest.claim,
    attempts: Number(row["attempts"]),
    progress: rest.progress,
    error: rest.error,
    transfers: rest.transfers ?? [],
    createdAt: Number(row["created_at"]),
    updatedAt: Number(row["updated_at"]),
    endedAt: row["ended_at"] === null ? undefined : Number(row["ended_at"]),
  };
}

const WITH_A_WORKER = `status IN (${STATUSES.filter(status => isHeld({ status }))
  .map(status => `'${status}'`)
  .join()})`;

/** The jobs that a worker has; without their metadata. */
export const HELD = `SELECT * FROM jobs WHERE ${WITH_A_WORKER}`;

/** The jobs that have not ended. */
export const LIVE = "SELECT id, json_extract(rest, '$.unwatched') AS unwatched FROM jobs WHERE ended_at IS NULL";

export const OLDEST_CLAIMED = `SELECT min(claimed_at) AS n FROM jobs WHERE ${WITH_A_WORKER}`;

/** The first in line was created first. */
export const OLDEST_QUEUED = "SELECT created_at AS n FROM jobs WHERE status = 'queued' ORDER BY seq LIMIT 1";

/** How many are queued; conditions follow. Left alone, SQLite looks at each of their rows instead of at the index. */
export const QUEUED = "SELECT count(*) AS n FROM jobs INDEXED BY place WHERE status = 'queued'";

export const OLDEST_ENDED =
  "SELECT id, seq, ended_at, caller, bytes FROM jobs WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT ?";

/** The same of one caller. */
export const OLDEST_ENDED_OF =
  "SELECT id, seq, caller, bytes FROM jobs WHERE caller = ? AND ended_at IS NOT NULL ORDER BY ended_at LIMIT ?";

/** Usage of each caller. */
export const USED_BY_CALLERS = "SELECT caller, count(*) AS jobs, sum(bytes) AS bytes FROM jobs GROUP BY caller";

/** Bytes of the pages that are in use. */
export const USED_BYTES = `SELECT (pages.page_count - free.freelist_count) * size.page_size AS n
  FROM pragma_page_count pages, pragma_freelist_count free, pragma_page_size size`;

/** Jobs as `decode` wants them. */
export const WHOLE = "SELECT jobs.*, metadata.json AS metadata FROM jobs LEFT JOIN metadata USING (seq)";

/** True when one queued job comes before another. */
export function isBefore(row: Row, other: Row): boolean {
  const [a, b] = [Number(row["priority"]), Number(other["priority"])];
  return a > b || (a === b && Number(row["seq"]) < Number(other["seq"]));
}
