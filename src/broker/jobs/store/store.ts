// The interface of a jobs store: one broker's file today, a shared store later.
import type { Claim, Claimer, Job, JobStatus } from "../job.ts";

/** As much of a job that has not ended as its client's watch needs. */
export type LiveJob = Pick<Job, "id" | "cancelWhenUnwatched">;

/** A job that is to be added: the store gives it its place in line. */
export type Draft = Omit<Job, "seq">;

export interface JobQuery {
  readonly owner: string;
  readonly statuses: readonly JobStatus[];
  readonly type: string | undefined;
  readonly limit: number;
}

export interface StoreOverview {
  readonly counts: Readonly<Record<JobStatus, number>>;
  /** When the first job of those that are queued was created, and the first of those that are held was claimed. */
  readonly oldestQueuedAt: number | undefined;
  readonly oldestClaimedAt: number | undefined;
  /** The newest jobs, newest first. */
  readonly recent: readonly Job[];
}

/** Receives the events of a store, from any process. */
export interface StoreWatcher {
  /** A job was queued: it is new, or its claim was revoked. Only a wake-up: `claim` decides. */
  queued?(job: Job): void;
  /** A job is new (without `before`), or has changed. The changes of one job are reported in their order. */
  changed?(before: Job | undefined, after: Job): void;
  /** A lease has expired; repeated until handled. */
  lapsed?(id: string, claimId: string): void;
  /** Number of claimed jobs that depend on this process; reported immediately and on change. */
  held?(count: number): void;
  /** A write failed because of `cause`, and its requesters got an error; `first`: the previous write succeeded. */
  failed?(cause: unknown, first: boolean): void;
  /** The first write after a failure went well. */
  recovered?(): void;
}

/**
 * Stores jobs. Acknowledged changes survive the process, if the store is durable. A change is compare-and-set by the
 * job's `rev`; a claim is atomic. The store also manages leases, because they must be renewed where they are checked.
 */
export interface JobStore {
  /** True if its content survives the process. */
  readonly durable: boolean;
  /**
   * Adds a job; when its owner has used its idempotency key before, the job of that time is the answer, as it now is.
   * Throws `overloaded` when there is no room.
   */
  add(draft: Draft): Promise<{ job: Job; added: boolean }>;
  get(id: string): Promise<Job | undefined>;
  /** Puts `after` in the place of `before`, which has to be the job as it is; false when it no longer is. */
  compareAndSet(before: Job, after: Job): Promise<boolean>;
  /** Claims the first job in line that suits, by priority and then by age, and starts the claim's lease. */
  claim(claimer: Claimer, claim: Claim): Promise<Job | undefined>;
  /** Starts a claim's lease anew; false when the claim has ended. */
  renew(id: string, claimId: string): Promise<boolean>;
  /** Reports events from now on, until `signal` aborts. Reported changes are already in the store. */
  watch(watcher: StoreWatcher, signal: AbortSignal): void;
  /** How many queued jobs are before it, itself included. */
  position(job: Job): Promise<number>;
  /** Newest first. */
  list(query: JobQuery): Promise<Job[]>;
  /** The jobs that have not ended. */
  live(): Promise<LiveJob[]>;
  overview(recent: number): Promise<StoreOverview>;
  /** Deletes jobs that ended before `endedBefore`, and the oldest of those beyond `keep`, at most `limit`; their ids. */
  forget(endedBefore: number, keep: number, limit: number): Promise<string[]>;
  /** When the first of the ended jobs ended. */
  firstEnd(): Promise<number | undefined>;
  /** Resolves when all requested work is done. */
  close(): Promise<void>;
  /** Writes a copy of everything, whole at one moment, to a new file. Throws when the file exists. */
  copyTo(file: string): Promise<void>;
}
