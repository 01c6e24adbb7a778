import type { Drain } from "../../lib/drain.ts";
import { messageOf } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import type { BodyLimits } from "../http/body/body.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";
import { ClientRoutes } from "./http/for-clients.ts";
import { WorkerRoutes } from "./http/for-workers.ts";
import { JobsHttp } from "./http/jobs-http.ts";
import { WorkerActivity } from "./queue/activity.ts";
import type { Channels } from "./queue/channels.ts";
import { JobMetrics, type JobTally } from "./queue/metrics.ts";
import { JobService, type JobSettings } from "./queue/service.ts";
import { jobsState } from "./queue/state.ts";
import type { JobStore, StoreWatcher } from "./store/store.ts";

export interface JobsOptions {
  readonly store: JobStore;
  readonly channels: Channels;
  readonly settings: JobSettings;
  readonly closeDelayMs: number;
  readonly bodies: BodyLimits;
  readonly drain: Drain;
  readonly metrics: BrokerMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The jobs of a broker: queue, routes and state. */
export class Jobs {
  readonly http: JobsHttp;
  readonly clients: ClientRoutes;
  readonly workers: WorkerRoutes;
  readonly service: JobService;
  readonly #metrics: JobMetrics;
  readonly #activity: WorkerActivity;
  readonly #watching = new AbortController();

  constructor(private readonly options: JobsOptions) {
    const { metrics, clock, drain } = options;
    this.#metrics = new JobMetrics(metrics.meters);
    this.#activity = new WorkerActivity(clock);
    this.service = new JobService({ ...options, metrics: this.#metrics });
    const { service } = this;
    this.http = new JobsHttp(clock);
    this.clients = new ClientRoutes(this.http, { ...options, service });
    this.workers = new WorkerRoutes(this.http, { ...options, service, activity: this.#activity });
    const { claimWaiters, events } = service;
    this.#metrics.watch({
      waitingWorkers: () => claimWaiters.size,
      listeners: () => events.listeners,
      watched: () => service.watched,
      eventBytes: () => events.bytes,
      overview: () => options.store.overview(0),
      now: () => clock.wall(),
    });
    // Waiting claims would never get a job and would keep their workers here.
    drain.onBegin(() => void claimWaiters.close());
    // Claimed jobs continue until they end.
    options.store.watch({ held: drain.level(), ...this.#troubles() }, this.#watching.signal);
  }

  /** How many have ended since the process began, and how long they took. */
  get tally(): JobTally {
    return this.#metrics.tally;
  }

  /** Jobs in the state, as JSON, with more detail for operators. */
  state(operator: boolean): Promise<string> {
    const { store, clock } = this.options;
    return jobsState(store, this.#activity, this.#metrics.tally, clock, operator);
  }

  /** Writes a copy of all jobs to a new file. */
  copyTo(file: string): Promise<void> {
    return this.options.store.copyTo(file);
  }

  /** Ends when everything that was acknowledged is kept, as far as the store does that. */
  async close(): Promise<void> {
    const { store, log } = this.options;
    const left = await store.live().catch(() => []);
    await this.service.close();
    this.#watching.abort();
    const fields = { jobs: left.length };
    if (left.length === 0) return;
    if (store.durable) log.info(fields, "unfinished jobs are stored and continue at the next start");
    else log.warn(fields, "unfinished jobs are lost: they were stored in memory");
  }

  #troubles(): StoreWatcher {
    const { log } = this.options;
    return {
      failed: (cause, first) => {
        this.#metrics.storeFailed();
        if (first) log.error({ cause: messageOf(cause) }, "cannot write jobs: new ones are refused");
      },
      recovered: () => log.info({}, "jobs can be written again"),
    };
  }
}
