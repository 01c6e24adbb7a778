// Jobs, internally and as their clients see them.
import type { JsonText } from "../http/body/json-body.ts";

export const STATUSES = [
  "queued",
  "claimed",
  "awaiting_payload",
  "running",
  "awaiting_result",
  "completed",
  "failed",
  "canceled",
] as const;

export type JobStatus = (typeof STATUSES)[number];

export interface JobError {
  readonly code: string;
  readonly message: string;
}

/** A worker's claim of a job. A finished job keeps it as a record. */
export interface Claim {
  readonly id: string;
  readonly workerId: string;
  readonly workerGroup: string;
  readonly leaseMs: number;
  readonly at: number;
}

/** A channel on which a payload goes to the worker, or a result to the client. */
export interface JobTransfer {
  readonly role: "payload" | "result";
  readonly key: string;
  readonly channelId: string;
  readonly expiresAt: number;
  readonly properties?: JsonText | undefined;
  /** The event that reported it. */
  readonly event: number;
}

/** A job as it is at one moment; a change makes another one. Times are milliseconds since 1970. */
export interface Job {
  readonly id: string;
  /** Its place in line among those of its priority; the store gives it. */
  readonly seq: number;
  /** Number of its last event. Every change increments it, so that it identifies a revision of the job. */
  readonly rev: number;
  readonly type: string;
  readonly status: JobStatus;
  readonly priority: number;
  /** "" when there is none. */
  readonly metadata: JsonText;
  /** The required worker; "" if any can claim it. */
  readonly workerId: string;
  readonly workerGroup: string;
  /** The owner of the job. */
  readonly owner: string;
  /** The caller to whom it is attributed. */
  readonly caller: string;
  /** It is canceled soon after its client has stopped watching it. */
  readonly cancelWhenUnwatched: boolean;
  readonly idempotency?: { readonly key: string; readonly digest: string } | undefined;
  readonly claim?: Claim | undefined;
  /** Claims that it has had, those that were given back aside. */
  readonly attempts: number;
  readonly progress?: JsonText | undefined;
  readonly error?: JobError | undefined;
  readonly transfers: readonly JobTransfer[];
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly endedAt?: number | undefined;
}

export function isStatus(word: string): word is JobStatus {
  return STATUSES.some(status => status === word);
}

export function isTerminal(status: JobStatus): boolean {
  return status === "completed" || status === "failed" || status === "canceled";
}

/** True while a worker has it. */
export function isHeld({ status }: Pick<Job, "status">): boolean {
  return status !== "queued" && !isTerminal(status);
}

/** A claim request: the worker, and the accepted jobs. */
export interface Claimer {
  /** Every type, when empty. */
  readonly types: readonly string[];
  readonly workerId: string;
  readonly workerGroup: string;
  /** The lease it asks for. */
  readonly leaseMs?: number | undefined;
}

/** True if the claim matches the job: its type is accepted, and a required worker or group matches. */
export function matches(job: Pick<Job, "type" | "workerId" | "workerGroup">, claimer: Claimer): boolean {
  return (
    (claimer.types.length === 0 || claimer.types.includes(job.type)) &&
    (job.workerId === "" || job.workerId === claimer.workerId) &&
    (job.workerGroup === "" || job.workerGroup === claimer.workerGroup)
  );
}
