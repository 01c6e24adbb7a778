// Every change of a job's state is judged here, by one function without effects.
import { NfrxError } from "../../lib/errors.ts";
import type { JsonText } from "../http/body/json-body.ts";
import { type Claim, isHeld, isStatus, isTerminal, type Job, type JobError, type JobTransfer } from "./job.ts";
import { JOB_PROPERTIES_BYTES, JOB_TRANSFERS_MAX } from "./limits.ts";

/** The worker's identification in a call. Only a claim without a worker ID accepts neither. */
export interface Proof {
  readonly claimId?: string | undefined;
  readonly workerId?: string | undefined;
}

export type Change =
  | { readonly does: "claim"; readonly claim: Claim }
  | { readonly does: "transfer"; readonly by: Proof; readonly transfer: Omit<JobTransfer, "event"> }
  | {
      readonly does: "report";
      readonly by: Proof;
      readonly state: string;
      readonly progress?: JsonText | undefined;
      readonly error?: JobError | undefined;
    }
  /** By the job's owner, or, with an error, in its place. */
  | { readonly does: "cancel"; readonly error?: JobError | undefined }
  /** The claim never reached its worker; or, with `untouched`, its worker has left without a call about it. */
  | { readonly does: "give back"; readonly claimId: string; readonly untouched?: boolean }
  /** The claim's lease has run out. */
  | { readonly does: "lapse"; readonly claimId: string; readonly maxAttempts: number };

/**
 * The job after a change; undefined when there is nothing to change. Throws `invalid_state` for what the job's state or
 * holder does not allow, `missing_state` and `unknown_state` for a report of nothing that is a state, `invalid_request`
 * and `too_large` for a transfer beyond the limits.
 */
export function transition(job: Job, change: Change, at: number): Job | undefined {
  switch (change.does) {
    case "claim":
      if (job.status !== "queued") return undefined;
      return next(job, at, { status: "claimed", claim: change.claim, attempts: job.attempts + 1 });
    case "cancel":
      return isTerminal(job.status)
        ? undefined
        : end(job, at, { status: "canceled", error: change.error ?? job.error });
    case "give back":
      if (!holds(job, change.claimId) || (change.untouched && job.status !== "claimed")) return undefined;
      return requeue(job, at, job.attempts - 1);
    case "lapse":
      if (!holds(job, change.claimId)) return undefined;
      return job.attempts < change.maxAttempts
        ? requeue(job, at, job.attempts)
        : end(job, at, { status: "failed", error: workerLost(job.attempts) });
    case "transfer":
      requireHolder(job, change.by);
      return transfer(job, at, change.transfer);
    case "report":
      return report(job, at, change);
  }
}

/** Throws what `judge` would say to a worker's call of this kind, whatever it brings. */
export function requireHolder(job: Job, by: Proof): void {
  if (!isHeld(job)) throw new NfrxError("invalid_state", `the job is ${job.status}`);
  const { claim } = job;
  const foreign =
    (by.claimId !== undefined && by.claimId !== claim?.id) ||
    // A worker that claimed without a name may give one later.
    (by.workerId && claim?.workerId && by.workerId !== claim.workerId);
  if (foreign) throw new NfrxError("invalid_state", "another worker has the job");
  if (claim?.workerId && by.claimId === undefined && !by.workerId)
    throw new NfrxError("invalid_state", "the claim has a worker_id: send claim_id or worker_id");
}

function report(job: Job, at: number, { by, state, progress, error }: Extract<Change, { does: "report" }>): Job {
  if (state === "") throw new NfrxError("missing_state", "state is required");
  if (!isStatus(state)) throw new NfrxError("unknown_state", "unknown state");
  requireHolder(job, by);
  // A worker that does not want it after all.
  if (state === "queued") return requeue(job, at, job.attempts - 1);
  const news = { status: state, progress: progress ?? job.progress, error: error ?? job.error };
  return isTerminal(state) ? end(job, at, news) : next(job, at, news);
}

function transfer(job: Job, at: number, wanted: Omit<JobTransfer, "event">): Job {
  // A repeated key requests a new channel.
  const others = job.transfers.filter(({ role, key }) => role !== wanted.role || key !== wanted.key);
  if (others.length >= JOB_TRANSFERS_MAX)
    throw new NfrxError("invalid_request", `a job can have at most ${JOB_TRANSFERS_MAX} transfers`);
  const transfers = [...others, { ...wanted, event: job.rev + 1 }];
  const bytes = transfers.reduce(
    (sum, { properties }) => sum + (properties === undefined ? 0 : Buffer.byteLength(properties)),
    0,
  );
  if (bytes > JOB_PROPERTIES_BYTES)
    throw new NfrxError("too_large", "the properties of the job's transfers are too large");
  const status = wanted.role === "payload" ? "awaiting_payload" : "awaiting_result";
  // Two events: that there is a channel, and the new state.
  return { ...next(job, at, { status, transfers }), rev: job.rev + 2 };
}

function requeue(job: Job, at: number, attempts: number): Job {
  return next(job, at, { status: "queued", claim: undefined, attempts, progress: undefined, transfers: [] });
}

function end(job: Job, at: number, news: Partial<Job>): Job {
  return next(job, at, { ...news, endedAt: at });
}

function next(job: Job, at: number, news: Partial<Job>): Job {
  return { ...job, ...news, rev: job.rev + 1, updatedAt: Math.max(at, job.updatedAt) };
}

function holds(job: Job, claimId: string): boolean {
  return isHeld(job) && job.claim?.id === claimId;
}

function workerLost(attempts: number): JobError {
  return { code: "worker_lost", message: `no worker finished the job; it was claimed ${attempts} times` };
}
