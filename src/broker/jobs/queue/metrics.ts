import type { Cell, Distribution, Histogram, Meters, Numbers } from "../../../lib/series.ts";
import type { Job } from "../job.ts";
import type { StoreOverview } from "../store/store.ts";

/** Buckets for how long jobs wait and run, in seconds. */
const SPANS = [0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400];

/** Codes of errors that have a label of their own; those that workers make up are counted as `worker`. */
const OWN_CODES: readonly string[] = ["client_inactive", "worker_lost"];

/** Since the process began. */
export interface JobTally {
  completed: number;
  failed: number;
  canceled: number;
  lastCompletedAt: number | undefined;
  lastFailedAt: number | undefined;
  lastCanceledAt: number | undefined;
  waits: Mean;
  services: Mean;
  wholes: Mean;
}

class Mean {
  #sum = 0;
  #count = 0;

  add(value: number): void {
    this.#sum += value;
    this.#count++;
  }

  get value(): number {
    return this.#count === 0 ? 0 : Math.round(this.#sum / this.#count);
  }
}

/** Values read at each scrape. */
export interface JobSources {
  waitingWorkers(): number;
  listeners(): number;
  watched(): number;
  eventBytes(): number;
  overview(): Promise<StoreOverview>;
  /** Unix milliseconds. */
  now(): number;
}

/** Counters of the jobs queue, for Prometheus and the state. */
export class JobMetrics {
  readonly tally: JobTally = {
    completed: 0,
    failed: 0,
    canceled: 0,
    lastCompletedAt: undefined,
    lastFailedAt: undefined,
    lastCanceledAt: undefined,
    waits: new Mean(),
    services: new Mean(),
    wholes: new Mean(),
  };
  readonly #created: Cell;
  readonly #claimed: Cell;
  readonly #requeued: Numbers<"reason">;
  readonly #ended: Numbers<"status" | "error_code">;
  readonly #storeFailures: Cell;
  readonly #wait: Distribution;
  readonly #service: Histogram<"status">;
  readonly #now: ReturnType<typeof declareGauges>;

  constructor(meters: Meters) {
    this.#now = declareGauges(meters);
    this.#created = meters.counter("nfrx_jobs_created_total", "Jobs created.").cell({});
    this.#claimed = meters.counter("nfrx_jobs_claimed_total", "Jobs handed to workers.").cell({});
    this.#requeued = meters.counter(
      "nfrx_jobs_requeued_total",
      "Jobs returned to the queue, by reason: lapsed (the worker's lease expired), undelivered.",
      ["reason"],
    );
    this.#ended = meters.counter(
      "nfrx_jobs_ended_total",
      "Finished jobs, by status and error code; errors reported by workers are `worker`.",
      ["status", "error_code"],
    );
    this.#storeFailures = meters.counter("nfrx_jobs_store_failures_total", "Failed writes of the jobs store.").cell({});
    // Present from the start, so that the first increase is visible.
    this.#ended.cell({ status: "failed", error_code: "worker_lost" });
    this.#requeued.cell({ reason: "lapsed" });
    this.#wait = meters
      .histogram("nfrx_jobs_queue_seconds", "Time from a job's creation to its claim.", SPANS)
      .cell({});
    this.#service = meters.histogram("nfrx_jobs_service_seconds", "Time from a job's last claim to its end.", SPANS, [
      "status",
    ]);
  }

  /** Shows the current values. */
  watch({ overview, now, ...sources }: JobSources): void {
    const gauges = this.#now;
    gauges.waitingWorkers.read(set => set({}, sources.waitingWorkers()));
    gauges.listeners.read(set => set({}, sources.listeners()));
    gauges.watched.read(set => set({}, sources.watched()));
    gauges.eventBytes.read(set => set({}, sources.eventBytes()));
    // Queried once per scrape.
    let asked: Promise<StoreOverview> | undefined;
    const look = (): Promise<StoreOverview> => {
      asked ??= overview().finally(() => {
        asked = undefined;
      });
      return asked;
    };
    const age = (at: number | undefined): number => (at === undefined ? 0 : Math.max(0, now() - at) / 1000);
    gauges.jobs.read(async set => {
      for (const [status, count] of Object.entries((await look()).counts)) set({ status }, count);
    });
    gauges.oldestQueued.read(async set => set({}, age((await look()).oldestQueuedAt)));
    gauges.oldestClaimed.read(async set => set({}, age((await look()).oldestClaimedAt)));
  }

  created(): void {
    this.#created.value++;
  }

  claimed({ claim, createdAt }: Job): void {
    const ms = Math.max(0, (claim?.at ?? createdAt) - createdAt);
    this.#claimed.value++;
    this.#wait.observe(ms / 1000);
    this.tally.waits.add(ms);
  }

  requeued(reason: "lapsed" | "undelivered"): void {
    this.#requeued.cell({ reason }).value++;
  }

  storeFailed(): void {
    this.#storeFailures.value++;
  }

  ended({ status, error, claim, createdAt, endedAt = createdAt }: Job): void {
    const { tally } = this;
    const code = error?.code ?? "";
    this.#ended.cell({ status, error_code: code === "" || OWN_CODES.includes(code) ? code : "worker" }).value++;
    if (claim !== undefined) {
      this.#service.cell({ status }).observe(Math.max(0, endedAt - claim.at) / 1000);
      tally.services.add(Math.max(0, endedAt - claim.at));
    }
    tally.wholes.add(Math.max(0, endedAt - createdAt));
    if (status === "completed") [tally.completed, tally.lastCompletedAt] = [tally.completed + 1, endedAt];
    else if (status === "failed") [tally.failed, tally.lastFailedAt] = [tally.failed + 1, endedAt];
    else [tally.canceled, tally.lastCanceledAt] = [tally.canceled + 1, endedAt];
  }
}

function declareGauges(meters: Meters) {
  return {
    jobs: meters.gauge("nfrx_jobs", "Stored jobs, by status.", ["status"]),
    oldestQueued: meters.gauge("nfrx_jobs_oldest_queued_seconds", "Age of the oldest queued job; 0 if there is none."),
    oldestClaimed: meters.gauge(
      "nfrx_jobs_oldest_claimed_seconds",
      "Age of the oldest claim of an unfinished job; 0 if there is none.",
    ),
    waitingWorkers: meters.gauge("nfrx_jobs_waiting_workers", "Claims and job streams that are waiting for a job."),
    listeners: meters.gauge("nfrx_jobs_listeners", "Open event streams of jobs."),
    watched: meters.gauge("nfrx_jobs_watched", "Jobs that are canceled when their client is gone."),
    eventBytes: meters.gauge("nfrx_jobs_event_bytes", "Bytes of events stored for clients that reconnect."),
  };
}
