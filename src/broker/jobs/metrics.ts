import { Counter, Histogram } from "prom-client";
import type { BrokerMetrics } from "../observe/metrics.ts";
import type { Job } from "./job.ts";

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

/** What the jobs queue counts, for Prometheus and for the state. */
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
  readonly #created: Counter;
  readonly #claimed: Counter;
  readonly #requeued: Counter<"reason">;
  readonly #ended: Counter<"status" | "error_code">;
  readonly #storeFailures: Counter;
  readonly #wait: Histogram;
  readonly #service: Histogram<"status">;

  constructor({ registry }: BrokerMetrics) {
    const registers = [registry];
    const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
      new Counter<L>({ name, help, labelNames, registers });
    this.#created = counter("nfrx_jobs_created_total", "Jobs created.", []);
    this.#claimed = counter("nfrx_jobs_claimed_total", "Jobs handed to workers.", []);
    this.#requeued = counter("nfrx_jobs_requeued_total", "Jobs that went back to the queue, by reason.", ["reason"]);
    this.#ended = counter("nfrx_jobs_ended_total", "Jobs that ended.", ["status", "error_code"]);
    this.#storeFailures = counter("nfrx_jobs_store_failures_total", "Writes of the jobs store that failed.", []);
    this.#wait = new Histogram({
      name: "nfrx_jobs_queue_seconds",
      help: "Time from a job's creation to its claim.",
      buckets: SPANS,
      registers,
    });
    this.#service = new Histogram({
      name: "nfrx_jobs_service_seconds",
      help: "Time from a job's claim to its end.",
      labelNames: ["status"],
      buckets: SPANS,
      registers,
    });
  }

  created(): void {
    this.#created.inc();
  }

  claimed({ claim, createdAt }: Job): void {
    const ms = Math.max(0, (claim?.at ?? createdAt) - createdAt);
    this.#claimed.inc();
    this.#wait.observe(ms / 1000);
    this.tally.waits.add(ms);
  }

  requeued(reason: "lapsed" | "undelivered"): void {
    this.#requeued.inc({ reason });
  }

  storeFailed(): void {
    this.#storeFailures.inc();
  }

  ended({ status, error, claim, createdAt, endedAt = createdAt }: Job): void {
    const { tally } = this;
    const code = error?.code ?? "";
    this.#ended.inc({ status, error_code: code === "" || OWN_CODES.includes(code) ? code : "worker" });
    if (claim !== undefined) {
      this.#service.observe({ status }, Math.max(0, endedAt - claim.at) / 1000);
      tally.services.add(Math.max(0, endedAt - claim.at));
    }
    tally.wholes.add(Math.max(0, endedAt - createdAt));
    if (status === "completed") [tally.completed, tally.lastCompletedAt] = [tally.completed + 1, endedAt];
    else if (status === "failed") [tally.failed, tally.lastFailedAt] = [tally.failed + 1, endedAt];
    else [tally.canceled, tally.lastCanceledAt] = [tally.canceled + 1, endedAt];
  }
}
