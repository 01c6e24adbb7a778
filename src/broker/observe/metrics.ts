import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { DATE, SHA, VERSION } from "../../lib/version.ts";
import type { Usage } from "../../modules/module.ts";

/** Values of one label from outside that live at most; what comes later is counted as `other`. */
export const LABEL_VALUES_MAX = 500;

const DURATIONS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const SHORT = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Lets the first LABEL_VALUES_MAX values through and counts the rest as one. */
class BoundedLabel {
  readonly #seen = new Set<string>();

  of(value: string): string {
    if (this.#seen.has(value)) return value;
    if (this.#seen.size >= LABEL_VALUES_MAX) return "other";
    this.#seen.add(value);
    return value;
  }
}

type RequestLabel = "ext" | "plugin_type" | "job_type" | "label";
const REQUEST_LABELS: RequestLabel[] = ["ext", "plugin_type", "job_type", "label"];
export type RequestLabels = Record<RequestLabel, string>;

/** How one request went, for the metrics. */
export interface RequestReport {
  labels: RequestLabels;
  workerId: string | undefined;
  /** Empty when it went well. */
  errorCode: string;
  seconds: number;
  firstByteSeconds: number | undefined;
  queueSeconds: number | undefined;
  retries: number;
  usage: Usage | undefined;
  /** Items of an embeddings request. */
  embeddings: number;
}

/** What the broker counts. One instance a broker, so that tests can run several beside each other. */
export class BrokerMetrics {
  readonly registry = new Registry();
  readonly #models = new BoundedLabel();
  readonly #workers = new BoundedLabel();

  readonly #total = this.#requestCounter("nfrx_request_total", "Requests taken.");
  readonly #started = this.#requestCounter("nfrx_request_started_total", "Requests begun.");
  readonly #completed = this.#counter("nfrx_request_completed_total", "Requests that ended.", [
    ...REQUEST_LABELS,
    "success",
    "error_code",
  ]);
  readonly #duration = this.#histogram(
    "nfrx_request_duration_seconds",
    "Time from a request's arrival to its end.",
    REQUEST_LABELS,
    DURATIONS,
  );
  readonly #inflight = this.#gauge("nfrx_request_inflight", "Requests under way.", REQUEST_LABELS);
  readonly #size = this.#counter("nfrx_request_size_total", "Tokens and embeddings of requests.", [
    ...REQUEST_LABELS,
    "size_kind",
  ]);
  readonly #modelRequests = ["nfrx_model_requests_total", "nfrx_llm_model_requests_total"].map(name =>
    this.#counter(name, "Requests by model and outcome.", ["model", "outcome"]),
  );
  readonly #modelTokens = ["nfrx_model_tokens_total", "nfrx_llm_model_tokens_total"].map(name =>
    this.#counter(name, "Tokens by model.", ["model", "kind"]),
  );
  readonly #llmDuration = this.#histogram(
    "nfrx_llm_request_duration_seconds",
    "Time of a request at a worker.",
    ["worker_id", "model"],
    DURATIONS,
  );
  readonly #workerTokens = this.#counter("nfrx_llm_worker_tokens_total", "Tokens by worker.", ["worker_id", "kind"]);
  readonly #workerSeconds = this.#counter(
    "nfrx_llm_worker_processing_seconds_total",
    "Time workers spent on requests.",
    ["worker_id"],
  );
  readonly #modelEmbeddings = this.#counter("nfrx_llm_model_embeddings_total", "Embeddings by model.", ["model"]);
  readonly #workerEmbeddings = this.#counter("nfrx_llm_worker_embeddings_total", "Embeddings by worker.", [
    "worker_id",
  ]);
  readonly #workerEmbeddingSeconds = this.#counter(
    "nfrx_llm_worker_embedding_processing_seconds_total",
    "Time workers spent on embeddings.",
    ["worker_id"],
  );
  readonly #firstByte = this.#histogram(
    "nfrx_request_first_byte_seconds",
    "Time from a request's arrival to the worker's first answer.",
    REQUEST_LABELS,
    SHORT,
  );
  readonly #queueWait = this.#histogram(
    "nfrx_request_queue_seconds",
    "Time requests waited for a worker.",
    REQUEST_LABELS,
    SHORT,
  );
  readonly #retries = this.#requestCounter(
    "nfrx_request_retries_total",
    "Requests sent to another worker after the first was lost or refused.",
  );
  readonly #partCompleted = this.#counter("nfrx_request_chunk_completed_total", "Parts of split requests that ended.", [
    ...REQUEST_LABELS,
    "worker_id",
    "success",
    "error_code",
  ]);
  readonly #partDuration = this.#histogram(
    "nfrx_request_chunk_duration_seconds",
    "Time of a split request's part.",
    [...REQUEST_LABELS, "worker_id"],
    DURATIONS,
  );
  readonly #partSize = this.#counter(
    "nfrx_request_chunk_size_total",
    "Tokens and embeddings of split requests' parts.",
    [...REQUEST_LABELS, "worker_id", "size_kind"],
  );
  readonly #refused = this.#counter("nfrx_refused_total", "Requests and agents turned away, by reason.", ["reason"]);
  readonly #unhandled = this.#counter("nfrx_unhandled_errors_total", "Errors that no code had expected.", []);

  constructor(private readonly isServed: (model: string) => boolean) {
    collectDefaultMetrics({ register: this.registry });
    const build = { component: "server", version: VERSION, sha: SHA, date: DATE };
    for (const name of ["nfrx_build_info", "nfrx_server_build_info"]) {
      this.#gauge(name, "Always 1; the build in its labels.", ["component", "version", "sha", "date"]).set(build, 1);
    }
  }

  /** A gauge that is read when somebody looks. */
  observe(
    name: string,
    help: string,
    labelNames: string[],
    read: (set: (labels: Record<string, string>, value: number) => void) => void,
  ): void {
    const gauge: Gauge = new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect: () => {
        gauge.reset();
        read((labels, value) => gauge.set(labels, value));
      },
    });
  }

  /** The labels of a request; a model nobody serves is `unknown`. */
  labels(ext: string, jobType: string, model: string | undefined): RequestLabels {
    const label = model === undefined ? "" : this.isServed(model) ? this.#models.of(model) : "unknown";
    return { ext, plugin_type: "worker", job_type: jobType, label };
  }

  started(labels: RequestLabels): void {
    this.#total.inc(labels);
    this.#started.inc(labels);
    this.#inflight.inc(labels);
  }

  completed(report: RequestReport): void {
    const { labels, errorCode, seconds, usage } = report;
    const success = errorCode === "";
    this.#inflight.dec(labels);
    this.#completed.inc({ ...labels, success: String(success), error_code: errorCode });
    this.#duration.observe(labels, seconds);
    if (report.firstByteSeconds !== undefined) this.#firstByte.observe(labels, report.firstByteSeconds);
    if (report.queueSeconds !== undefined) this.#queueWait.observe(labels, report.queueSeconds);
    if (report.retries > 0) this.#retries.inc(labels, report.retries);
    if (usage !== undefined) this.#tokens(labels, usage);
    if (report.embeddings > 0) this.#size.inc({ ...labels, size_kind: "embeddings" }, report.embeddings);
    if (labels.ext === "llm") this.#llm(report, success);
  }

  /** One part of a split request. */
  part(
    labels: RequestLabels,
    workerId: string,
    errorCode: string,
    seconds: number,
    usage: Usage | undefined,
    items: number,
  ): void {
    const worker_id = this.#workers.of(workerId);
    this.#partCompleted.inc({ ...labels, worker_id, success: String(errorCode === ""), error_code: errorCode });
    this.#partDuration.observe({ ...labels, worker_id }, seconds);
    if (usage !== undefined) this.#partSize.inc({ ...labels, worker_id, size_kind: "tokens_total" }, usage.total);
    if (items > 0) this.#partSize.inc({ ...labels, worker_id, size_kind: "embeddings" }, items);
  }

  refused(reason: string): void {
    this.#refused.inc({ reason });
  }

  unhandled(): void {
    this.#unhandled.inc();
  }

  #tokens(labels: RequestLabels, usage: Usage): void {
    this.#size.inc({ ...labels, size_kind: "tokens_in" }, usage.in);
    this.#size.inc({ ...labels, size_kind: "tokens_out" }, usage.out);
    this.#size.inc({ ...labels, size_kind: "tokens_total" }, usage.total);
  }

  #llm(report: RequestReport, success: boolean): void {
    const { labels, usage, seconds, embeddings } = report;
    const model = labels.label;
    for (const counter of this.#modelRequests) counter.inc({ model, outcome: success ? "success" : "error" });
    if (usage !== undefined) {
      for (const counter of this.#modelTokens) {
        counter.inc({ model, kind: "in" }, usage.in);
        counter.inc({ model, kind: "out" }, usage.out);
      }
    }
    if (embeddings > 0) this.#modelEmbeddings.inc({ model }, embeddings);
    if (report.workerId === undefined) return;
    const worker_id = this.#workers.of(report.workerId);
    this.#llmDuration.observe({ worker_id, model }, seconds);
    this.#workerSeconds.inc({ worker_id }, seconds);
    if (usage !== undefined) {
      this.#workerTokens.inc({ worker_id, kind: "in" }, usage.in);
      this.#workerTokens.inc({ worker_id, kind: "out" }, usage.out);
    }
    if (embeddings > 0) {
      this.#workerEmbeddings.inc({ worker_id }, embeddings);
      this.#workerEmbeddingSeconds.inc({ worker_id }, seconds);
    }
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #requestCounter(name: string, help: string): Counter<RequestLabel> {
    return this.#counter(name, help, REQUEST_LABELS);
  }

  #gauge<L extends string>(name: string, help: string, labelNames: L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram<L extends string>(name: string, help: string, labelNames: L[], buckets: number[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
  }
}
