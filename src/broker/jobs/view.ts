// Jobs as JSON.
import type { Job, JobTransfer } from "./job.ts";

const iso = (wall: number): string => new Date(wall).toISOString();

/** What a client is told of a channel: where it sends a payload, or gets a result. */
export function transferView({ role, key, channelId, expiresAt, properties }: JobTransfer): object {
  return {
    key,
    channel_id: channelId,
    method: role === "payload" ? "POST" : "GET",
    url: `/api/transfer/${channelId}`,
    expires_at: iso(expiresAt),
    ...(properties && { properties }),
  };
}

/** What the worker that asked for a channel is told of it. */
export function transferAnswer({ role, key, channelId, expiresAt, properties }: JobTransfer): object {
  return {
    key,
    channel_id: channelId,
    [role === "payload" ? "reader_url" : "writer_url"]: `/api/transfer/${channelId}`,
    expires_at: iso(expiresAt),
    ...(properties && { properties }),
  };
}

/** The job view as JSON. Its metadata is text already and is put in as it is. */
export function viewText(job: Job, position?: number): string {
  const text = JSON.stringify({
    id: job.id,
    type: job.type,
    status: job.status,
    ...(job.priority !== 0 && { priority: job.priority }),
    ...(job.workerId !== "" && { worker_id: job.workerId }),
    ...(job.workerGroup !== "" && { worker_group: job.workerGroup }),
    ...(job.claim?.workerId && { claimed_worker_id: job.claim.workerId }),
    ...(job.claim?.workerGroup && { claimed_worker_group: job.claim.workerGroup }),
    progress: job.progress,
    error: job.error,
    payloads: byKey(job, "payload"),
    results: byKey(job, "result"),
    queue_position: position,
    created_at: iso(job.createdAt),
    updated_at: iso(job.updatedAt),
  });
  return withMetadata(text, job.metadata);
}

/** The answer to a claim, or an event of a worker's stream. Fields that have no value are there, as the older series has them. */
export function claimText(job: Job): string {
  const text = JSON.stringify({
    job_id: job.id,
    type: job.type,
    worker_id: job.workerId,
    worker_group: job.workerGroup,
    claimed_worker_id: job.claim?.workerId ?? "",
    claimed_worker_group: job.claim?.workerGroup ?? "",
    claim_id: job.claim?.id,
    lease_seconds: (job.claim?.leaseMs ?? 0) / 1000,
    attempt: job.attempts,
  });
  return withMetadata(text, job.metadata || "null");
}

function withMetadata(text: string, metadata: string): string {
  return metadata === "" ? text : `${text.slice(0, -1)},"metadata":${metadata}}`;
}

function byKey({ transfers }: Job, role: JobTransfer["role"]): object | undefined {
  const mine = transfers.filter(transfer => transfer.role === role);
  return mine.length === 0 ? undefined : Object.fromEntries(mine.map(one => [one.key, transferView(one)]));
}
