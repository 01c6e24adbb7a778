// Jobs as JSON. Forwarded values are inserted as text.
import type { Job, JobTransfer } from "../job.ts";

const iso = (wall: number): string => new Date(wall).toISOString();

/** Fields of an object that are JSON already; those without a text are left out. */
type Raw = readonly (readonly [name: string, text: string | undefined])[];

/** A channel as its client sees it: where to send a payload or fetch a result. */
export function transferText({ role, key, channelId, expiresAt, properties }: JobTransfer): string {
  const fields = {
    key,
    channel_id: channelId,
    method: role === "payload" ? "POST" : "GET",
    url: `/api/transfer/${channelId}`,
    expires_at: iso(expiresAt),
  };
  return objectText(fields, [["properties", properties]]);
}

/** A channel as its worker sees it. */
export function transferAnswer({ role, key, channelId, expiresAt, properties }: JobTransfer): string {
  const fields = {
    key,
    channel_id: channelId,
    [role === "payload" ? "reader_url" : "writer_url"]: `/api/transfer/${channelId}`,
    expires_at: iso(expiresAt),
  };
  return objectText(fields, [["properties", properties]]);
}

/** The job as its client sees it. */
export function viewText(job: Job, position?: number): string {
  return objectText({ ...briefly(job), error: job.error, queue_position: position }, [
    ["progress", job.progress],
    ["payloads", byKey(job, "payload")],
    ["results", byKey(job, "result")],
    ["metadata", job.metadata || undefined],
  ]);
}

/** The answer to a claim, or an event of a worker's stream. Fields that have no value are there, as the older series has them. */
export function claimText(job: Job): string {
  const fields = {
    job_id: job.id,
    type: job.type,
    worker_id: job.workerId,
    worker_group: job.workerGroup,
    claimed_worker_id: job.claim?.workerId ?? "",
    claimed_worker_group: job.claim?.workerGroup ?? "",
    claim_id: job.claim?.id,
    lease_seconds: (job.claim?.leaseMs ?? 0) / 1000,
    attempt: job.attempts,
  };
  return objectText(fields, [["metadata", job.metadata || "null"]]);
}

/** The job in the state: without data between client and worker, and without usable IDs. */
export function stateText(job: Job): string {
  const { error } = job;
  return objectText({ ...briefly(job), id: shortId(job.id), error: error && { code: error.code, message: "" } }, []);
}

/** The job as an operator sees it: all but its channels. */
export function operatorText(job: Job): string {
  return objectText({ ...briefly(job), error: job.error }, [
    ["progress", job.progress],
    ["metadata", job.metadata || undefined],
  ]);
}

/** A shortened ID that distinguishes jobs but grants no access. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}

/** The common fields of a job. */
function briefly(job: Job): object {
  return {
    id: job.id,
    type: job.type,
    status: job.status,
    ...(job.priority !== 0 && { priority: job.priority }),
    ...(job.workerId !== "" && { worker_id: job.workerId }),
    ...(job.workerGroup !== "" && { worker_group: job.workerGroup }),
    ...(job.claim?.workerId && { claimed_worker_id: job.claim.workerId }),
    ...(job.claim?.workerGroup && { claimed_worker_group: job.claim.workerGroup }),
    created_at: iso(job.createdAt),
    updated_at: iso(job.updatedAt),
  };
}

function byKey({ transfers }: Job, role: JobTransfer["role"]): string | undefined {
  const mine = transfers.filter(transfer => transfer.role === role);
  return mine.length === 0
    ? undefined
    : objectText(
        {},
        mine.map(one => [one.key, transferText(one)]),
      );
}

/** An object as JSON, with fields that are JSON already. */
export function objectText(fields: object, raw: Raw): string {
  const plain = JSON.stringify(fields).slice(1, -1);
  const given = raw.flatMap(([name, text]) => (text === undefined ? [] : [`${JSON.stringify(name)}:${text}`]));
  return `{${[...(plain === "" ? [] : [plain]), ...given].join()}}`;
}
