// Stores of jobs for tests.
import type { Claim, Claimer, Job } from "../../../src/broker/jobs/job.ts";
import type { JobLimits } from "../../../src/broker/jobs/store/job-shares.ts";
import { SqliteStore } from "../../../src/broker/jobs/store/sqlite.ts";
import type { Draft, JobStore } from "../../../src/broker/jobs/store/store.ts";
import type { Clock } from "../../../src/lib/time.ts";

export const ROOMY: JobLimits = { maxJobs: 100_000, maxBytes: 256 * 1024 * 1024 };

/** A store whose answers come late and out of order, as those of a store elsewhere may. Its reports are late, and in order. */
export function distant(store: JobStore, random: () => number = Math.random): JobStore {
  const pause = async (): Promise<void> => {
    for (let turns = Math.floor(random() * 4); turns > 0; turns--) await new Promise(resolve => setImmediate(resolve));
  };
  const later = async <T>(answer: Promise<T>): Promise<T> => {
    const value = await answer;
    await pause();
    return value;
  };
  let reports = Promise.resolve();
  const report = (say: () => void): void => {
    reports = reports.then(pause).then(say);
  };
  return {
    durable: store.durable,
    add: draft => later(store.add(draft)),
    get: id => later(store.get(id)),
    compareAndSet: (before, after) => later(store.compareAndSet(before, after)),
    claim: (claimer, claim) => later(store.claim(claimer, claim)),
    renew: (id, claimId) => later(store.renew(id, claimId)),
    watch: (watcher, signal) =>
      store.watch(
        {
          ...watcher,
          queued: job => report(() => watcher.queued?.(job)),
          changed: (before, after) => report(() => watcher.changed?.(before, after)),
        },
        signal,
      ),
    position: job => later(store.position(job)),
    list: query => later(store.list(query)),
    live: () => later(store.live()),
    overview: recent => later(store.overview(recent)),
    forget: (endedBefore, keep, limit) => later(store.forget(endedBefore, keep, limit)),
    firstEnd: () => later(store.firstEnd()),
    copyTo: file => later(store.copyTo(file)),
    close: () => store.close(),
  };
}

export function memoryStore(clock: Clock, limits: Partial<JobLimits> = {}): JobStore {
  return new SqliteStore(":memory:", clock, { ...ROOMY, ...limits });
}

let drafts = 0;

/** A job that is about to be added. */
export function draftOf(news: Partial<Draft> = {}): Draft {
  return {
    id: `job-${++drafts}`,
    rev: 1,
    type: "t",
    status: "queued",
    priority: 0,
    metadata: "",
    workerId: "",
    workerGroup: "",
    owner: "-",
    caller: "one",
    cancelWhenUnwatched: false,
    attempts: 0,
    transfers: [],
    createdAt: 1000,
    updatedAt: 1000,
    ...news,
  };
}

let claims = 0;

export function claimOf(news: Partial<Claim> = {}): Claim {
  return { id: `claim-${++claims}`, workerId: "", workerGroup: "", leaseMs: 60_000, at: 2000, ...news };
}

export const ANYBODY: Claimer = { types: [], workerId: "", workerGroup: "" };

/** The job when it ended at some time. */
export function endedOf(job: Job, endedAt: number, status: "completed" | "failed" | "canceled" = "completed"): Job {
  return { ...job, status, rev: job.rev + 1, endedAt, updatedAt: endedAt };
}
