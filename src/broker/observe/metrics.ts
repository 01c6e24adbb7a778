import type { ErrorCode } from "../../lib/errors.ts";
import { declareLoopLag, declareProcess } from "../../lib/process-metrics.ts";
import { type Cell, Meters, type Numbers, type Reader } from "../../lib/series.ts";
import { declareSpans } from "../../lib/span-counts.ts";
import { type Clock, systemClock, type Timer } from "../../lib/time.ts";
import { DATE, SHA, VERSION } from "../../lib/version.ts";
import type { Usage } from "../../modules/module.ts";
import type { KeyKind } from "../http/access/key-throttle.ts";
import type { AgentRefusal } from "../pool/admission.ts";
import { LiveLabel } from "./labels.ts";
import { LlmMetrics } from "./llm.ts";
import { type CancelPhase, RequestMetrics, type RequestSeries } from "./request-metrics.ts";

export type { RequestSeries } from "./request-metrics.ts";

/** The interface of the metrics to the broker. */
export interface MetricsSources {
  clock?: Clock;
  /** The name under which a model is served: its own, or the one of its alias. */
  served?: (model: string) => string | undefined;
  isConnected?: (workerId: string) => boolean;
  /** Log lines that could not be written. */
  droppedLogs?: () => number;
}

/** How one request went. */
export interface RequestReport {
  series: RequestSeries;
  workerId: string | undefined;
  /** Empty when it went well. */
  errorCode: string;
  /** How far it had come, when its client went away. */
  phase: CancelPhase;
  seconds: number;
  firstByteSeconds: number | undefined;
  queueSeconds: number | undefined;
  retries: number;
  usage: Usage | undefined;
  /** Items of an embeddings request. */
  embeddings: number;
}

/** The metrics of a broker. One instance per broker, so that tests can run several. */
export class BrokerMetrics {
  readonly meters = new Meters();
  /** Outcomes of spans. */
  readonly spans = declareSpans(this.meters);
  readonly #requests = new RequestMetrics(this.meters);
  readonly #llm = new LlmMetrics(this.meters);
  readonly #agentJobs: Cell;
  readonly #agentJobsFailed: Cell;
  readonly #refused: Numbers<"reason">;
  readonly #agentsRefused: Numbers<"ext" | "reason">;
  readonly #wrongKeys: Numbers<"kind" | "outcome">;
  readonly #unhandled: Cell;
  readonly #models: LiveLabel;
  readonly #workers: LiveLabel;
  readonly #served: (model: string) => string | undefined;
  readonly #loop: { start(): Timer };

  constructor(sources: MetricsSources = {}) {
    const { meters } = this;
    const { clock = systemClock, served = () => undefined, isConnected = () => false } = sources;
    this.#served = served;
    this.#agentJobs = meters
      .counter("nfrx_agent_jobs_total", "Requests, and parts of split requests, sent to workers.")
      .cell({});
    this.#agentJobsFailed = meters
      .counter("nfrx_agent_jobs_failed_total", "Requests and parts that failed; canceled ones are not counted.")
      .cell({});
    this.#refused = meters.counter(
      "nfrx_refused_total",
      "Requests rejected before they reached a worker or a queue, by error code.",
      ["reason"],
    );
    this.#agentsRefused = meters.counter("nfrx_agents_refused_total", "Rejected agents, by reason.", ["ext", "reason"]);
    this.#wrongKeys = meters.counter(
      "nfrx_wrong_keys_total",
      "Wrong keys by kind; outcome: refused (401), or throttled (429) after too many from one address.",
      ["kind", "outcome"],
    );
    this.#unhandled = meters.counter("nfrx_unhandled_errors_total", "Unexpected errors.").cell({});
    const build = { component: "server", version: VERSION, sha: SHA, date: DATE };
    for (const name of ["nfrx_build_info", "nfrx_server_build_info"])
      meters.gauge(name, "Always 1; the labels describe the build.", BUILD).cell(build).value = 1;
    declareProcess(meters, sources.droppedLogs ?? (() => 0));
    this.#loop = declareLoopLag(meters);
    const forget = (label: string, value: string): void => {
      meters.forget(label, value);
      this.#requests.forget();
      this.#llm.forget();
    };
    this.#workers = new LiveLabel({ clock, isHere: isConnected, onGone: id => forget("worker_id", id) });
    this.#models = new LiveLabel({
      clock,
      isHere: model => served(model) === model,
      onGone: model => {
        forget("model", model);
        forget("label", model);
      },
    });
  }

  /** Looks at the event loop until cancelled. */
  watchLoop(): Timer {
    return this.#loop.start();
  }

  /** A gauge that is read at each scrape. */
  observe<L extends string>(name: string, help: string, labelNames: readonly L[], read: Reader<L>): void {
    this.meters.gauge(name, help, labelNames).read(read);
  }

  /** The response of GET /metrics. */
  response(): Promise<Response> {
    this.#workers.sweep();
    this.#models.sweep();
    return this.meters.response();
  }

  /**
   * The series of a kind of request; a model without a worker is `unknown`; without models the label is the module's
   * ID.
   */
  series(ext: string, jobType: string, model: string | undefined): RequestSeries {
    const label = model === undefined ? ext : this.#labelOf(model);
    return this.#requests.of({ ext, plugin_type: "worker", job_type: jobType, label });
  }

  /** The series of a call through a tunnel, by its method, of which there must be few. */
  callSeries(ext: string, method: string): RequestSeries {
    return this.#requests.of({ ext, plugin_type: "tunnel", job_type: `${ext}.call`, label: method });
  }

  begin(series: RequestSeries): void {
    series.total.value++;
    series.inflight.value++;
  }

  /** The request has its first worker. */
  started(series: RequestSeries): void {
    series.started.value++;
  }

  /** A backend has answered. */
  answered(series: RequestSeries, status: number): void {
    series.answers.of(`${Math.floor(status / 100)}xx`).value++;
  }

  end(report: RequestReport): void {
    const { series, errorCode, seconds, usage, embeddings } = report;
    series.inflight.value--;
    series.completed.of(errorCode).value++;
    if (errorCode === "canceled") series.canceled.of(report.phase).value++;
    series.duration.observe(seconds);
    if (report.firstByteSeconds !== undefined) series.firstByte.observe(report.firstByteSeconds);
    if (report.queueSeconds !== undefined) series.queueWait.observe(report.queueSeconds);
    series.retries.value += report.retries;
    if (usage !== undefined) {
      series.size.of("tokens_in").value += usage.in;
      series.size.of("tokens_out").value += usage.out;
      series.size.of("tokens_total").value += usage.total;
    }
    if (embeddings > 0) series.size.of("embeddings").value += embeddings;
    if (report.workerId !== undefined) this.#agentJob(errorCode);
    const { ext, label } = series.labels;
    if (ext !== "llm") return;
    const workerId = report.workerId === undefined ? undefined : this.#workers.of(report.workerId);
    this.#llm.end({ model: label, workerId, ok: errorCode === "", seconds, usage, embeddings });
  }

  /** One part of a split request. */
  part(
    series: RequestSeries,
    workerId: string,
    errorCode: string,
    seconds: number,
    usage: Usage | undefined,
    embeddings: number,
  ): void {
    const worker = this.#workers.of(workerId);
    this.#agentJob(errorCode);
    this.#requests.part(series, worker, errorCode, seconds, { tokens: usage?.total ?? 0, embeddings });
    const { ext, label } = series.labels;
    if (ext === "llm") this.#llm.byWorker(label, worker, seconds, usage, embeddings);
  }

  refused(reason: ErrorCode): void {
    this.#refused.cell({ reason }).value++;
  }

  refusedAgent(ext: string, reason: AgentRefusal): void {
    this.#agentsRefused.cell({ ext, reason }).value++;
  }

  wrongKey(kind: KeyKind, throttled: boolean): void {
    this.#wrongKeys.cell({ kind, outcome: throttled ? "throttled" : "refused" }).value++;
  }

  unhandled(): void {
    this.#unhandled.value++;
  }

  #agentJob(errorCode: string): void {
    this.#agentJobs.value++;
    if (errorCode !== "" && errorCode !== "canceled") this.#agentJobsFailed.value++;
  }

  /** One that was here keeps its name while it is away. */
  #labelOf(model: string): string {
    if (this.#models.has(model)) return model;
    const name = this.#served(model);
    return name === undefined ? "unknown" : this.#models.of(name);
  }
}

const BUILD = ["component", "version", "sha", "date"] as const;
