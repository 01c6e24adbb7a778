import { collectDefaultMetrics, Gauge, Registry } from "prom-client";
import { type Cell, CellCounter, CellHistogram, DURATIONS } from "../lib/series.ts";
import { DATE, SHA, VERSION } from "../lib/version.ts";

/** What an agent of a worker module counts. */
export class AgentMetrics {
  readonly registry = new Registry();
  readonly #started = this.#counter("nfrx_worker_jobs_started_total", "Requests begun.");
  readonly #succeeded = this.#counter("nfrx_worker_jobs_succeeded_total", "Requests that were answered.");
  readonly #failed = this.#counter("nfrx_worker_jobs_failed_total", "Requests that failed.");
  readonly #duration = new CellHistogram({
    name: "nfrx_worker_job_duration_seconds",
    help: "Time of a request at the backend.",
    labelNames: [],
    buckets: DURATIONS,
    registers: [this.registry],
  }).cell({});

  constructor(look: {
    server: () => boolean;
    backend: () => boolean;
    current: () => number;
    max: () => number;
    sessions?: () => number;
  }) {
    collectDefaultMetrics({ register: this.registry });
    this.#gauge("nfrx_worker_connected_to_server", "1 while connected to the broker.", () => Number(look.server()));
    this.#gauge("nfrx_worker_connected_to_backend", "1 while the backend answers.", () => Number(look.backend()));
    this.#gauge("nfrx_worker_current_jobs", "Requests under way.", look.current);
    this.#gauge("nfrx_worker_max_concurrency", "Requests taken at once at most.", look.max);
    if (look.sessions !== undefined)
      this.#gauge("nfrx_worker_sessions", "Sessions of clients that the relay keeps.", look.sessions);
    new Gauge({
      name: "nfrx_worker_build_info",
      help: "Always 1; the build in its labels.",
      labelNames: ["version", "sha", "date"],
      registers: [this.registry],
    }).set({ version: VERSION, sha: SHA, date: DATE }, 1);
  }

  started(): void {
    this.#started.value++;
  }

  ended(ok: boolean, ms: number): void {
    (ok ? this.#succeeded : this.#failed).value++;
    this.#duration.observe(ms / 1000);
  }

  #counter(name: string, help: string): Cell {
    return new CellCounter({ name, help, labelNames: [], registers: [this.registry] }).cell({});
  }

  #gauge(name: string, help: string, read: () => number): void {
    const gauge: Gauge = new Gauge({ name, help, registers: [this.registry], collect: () => gauge.set(read()) });
  }
}
