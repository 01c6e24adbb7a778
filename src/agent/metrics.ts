import { declareLoopLag, declareProcess } from "../lib/process-metrics.ts";
import { type Cell, type Distribution, DURATIONS, Meters } from "../lib/series.ts";
import { declareSpans } from "../lib/span-counts.ts";
import type { Timer } from "../lib/time.ts";
import { DATE, SHA, VERSION } from "../lib/version.ts";
import { LinkStats } from "../protocol/wire.ts";

/** Values read at each scrape. */
export interface AgentSources {
  server: () => boolean;
  backend: () => boolean;
  current: () => number;
  max: () => number;
  /** Counters of the current connections. */
  links: () => readonly LinkStats[];
  droppedLogs: () => number;
}

/** Outcome of a request: a canceled one is not a failure. */
export type AgentOutcome = "succeeded" | "failed" | "canceled";

/** The metrics of an agent. */
export class AgentMetrics {
  readonly meters = new Meters();
  /** Outcomes of spans. */
  readonly spans = declareSpans(this.meters);
  readonly #started = this.#counter("nfrx_worker_jobs_started_total", "Requests started.");
  readonly #ended: Readonly<Record<AgentOutcome, Cell>> = {
    succeeded: this.#counter("nfrx_worker_jobs_succeeded_total", "Requests that succeeded."),
    failed: this.#counter("nfrx_worker_jobs_failed_total", "Requests that failed."),
    canceled: this.#counter("nfrx_worker_jobs_canceled_total", "Requests canceled by the caller."),
  };
  readonly #duration: Distribution;
  readonly #connections = this.#counter("nfrx_worker_connections_total", "Connections to the broker.");
  readonly #loop: { start(): Timer };
  /** Counters of closed connections. */
  readonly #past = new LinkStats();

  constructor(sources: AgentSources) {
    const { meters } = this;
    this.#duration = meters
      .histogram("nfrx_worker_job_duration_seconds", "Duration of a request at the backend.", DURATIONS)
      .cell({});
    const gauge = (name: string, help: string, read: () => number): void =>
      meters.gauge(name, help).read(set => set({}, read()));
    gauge("nfrx_worker_connected_to_server", "1 while connected to the broker.", () => Number(sources.server()));
    gauge("nfrx_worker_connected_to_backend", "1 while the backend responds.", () => Number(sources.backend()));
    gauge("nfrx_worker_current_jobs", "Requests in flight.", sources.current);
    gauge("nfrx_worker_max_concurrency", "Maximum number of concurrent requests.", sources.max);
    const build = { version: VERSION, sha: SHA, date: DATE };
    meters.gauge("nfrx_worker_build_info", "Always 1; the labels describe the build.", BUILD).cell(build).value = 1;
    this.#declareTunnel(sources.links);
    declareProcess(meters, sources.droppedLogs);
    this.#loop = declareLoopLag(meters);
  }

  /** Looks at the event loop until cancelled. */
  watchLoop(): Timer {
    return this.#loop.start();
  }

  connected(): void {
    this.#connections.value++;
  }

  /** A connection is over. */
  disconnected(stats: LinkStats): void {
    this.#past.add(stats);
  }

  started(): void {
    this.#started.value++;
  }

  ended(outcome: AgentOutcome, ms: number): void {
    this.#ended[outcome].value++;
    this.#duration.observe(ms / 1000);
  }

  #declareTunnel(links: AgentSources["links"]): void {
    const counter = (name: string, help: string, read: (stats: LinkStats) => number): void =>
      this.meters.counter(name, help).read(set =>
        set(
          {},
          links().reduce((sum, stats) => sum + read(stats), read(this.#past)),
        ),
      );
    counter("nfrx_worker_tunnel_received_bytes_total", "Bytes received from the broker.", stats => stats.bytesIn);
    counter("nfrx_worker_tunnel_sent_bytes_total", "Bytes sent to the broker.", stats => stats.bytesOut);
    counter(
      "nfrx_worker_tunnel_window_stalls_total",
      "Times a stream waited for flow control credit because its reader was slow.",
      stats => stats.windowStalls,
    );
    counter(
      "nfrx_worker_tunnel_socket_stalls_total",
      "Times the whole connection waited for its socket or its window.",
      stats => stats.socketStalls,
    );
  }

  #counter(name: string, help: string): Cell {
    return this.meters.counter(name, help).cell({});
  }
}

const BUILD = ["version", "sha", "date"] as const;
