import { NfrxError } from "../../../lib/errors.ts";
import type { Logger } from "../../../lib/log.ts";
import type { Clock } from "../../../lib/time.ts";
import { isTerminal, type Job } from "../job.ts";
import { JOB_SWAPS_MAX } from "../limits.ts";
import { type Change, transition } from "../machine.ts";
import type { JobStore } from "../store/store.ts";
import type { JobMetrics } from "./metrics.ts";

export interface JobChangesOptions {
  readonly store: JobStore;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
  /** A change of this process has ended a job. */
  readonly onEnded: () => void;
}

/** Changes jobs in a store that others may change at the same time. */
export class JobChanges {
  readonly #options: JobChangesOptions;

  constructor(options: JobChangesOptions) {
    this.#options = options;
  }

  /** The job after the change, or unchanged. Throws `not_found` and the errors of the change. */
  async apply(id: string, change: Change): Promise<Job> {
    const { store, clock } = this.#options;
    for (let tries = 0; tries < JOB_SWAPS_MAX; tries++) {
      const before = await store.get(id);
      if (before === undefined) throw jobNotFound();
      const after = transition(before, change, clock.wall());
      if (after === undefined) return before;
      if (!(await store.compareAndSet(before, after))) continue;
      if (isTerminal(after.status)) this.#ended(after);
      return after;
    }
    throw new NfrxError("overloaded", "too many concurrent changes of this job; retry", { retryAfterSeconds: 1 });
  }

  /** Records that a change of this process has ended a job. */
  #ended(job: Job): void {
    const { metrics, log, onEnded } = this.#options;
    const { id: job_id, type, status, claim, error } = job;
    onEnded();
    metrics.ended(job);
    log.info({ job_id, type, status, worker_id: claim?.workerId ?? "", error: error?.code }, "job ended");
  }
}

export function jobNotFound(): NfrxError {
  return new NfrxError("not_found", "job not found");
}
