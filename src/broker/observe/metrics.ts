import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import {
  type Cell,
  CellCounter,
  CellGauge,
  CellHistogram,
  type Distribution,
  DURATIONS,
  remember,
} from "../../lib/series.ts";
import { DATE, SHA, VERSION } from "../../lib/version.ts";
import type { Usage } from "../../modules/module.ts";
import { LlmMetrics } from "./llm.ts";

/** Values of one label from outside that live at most; what comes later is counted as `other`. */
export const LABEL_VALUES_MAX = 500;

const SHORT = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Lets the first LABEL_VALUES_MAX values through and counts the rest as one. */
export class BoundedLabel {
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
type RequestLabels = Record<RequestLabel, string>;

/** The series of one kind of request: looked up once, counted by adding. */
export interface RequestSeries {
  readonly labels: RequestLabels;
  readonly total: Cell;
  readonly started: Cell;
  readonly inflight: Cell;
  readonly duration: Distribution;
  readonly firstByte: Distribution;
  readonly queueWait: Distribution;
  readonly retries: Cell;
  /** Ended requests by error code; empty for those that went well. */
  readonly completed: (errorCode: string) => Cell;
  readonly size: (kind: string) => Cell;
}

/** How one request went, for the metrics. */
export interface RequestReport {
  series: RequestSeries;
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
  readonly #methods = new BoundedLabel();
  readonly #workers = new BoundedLabel();
  readonly #series = new Map<string, RequestSeries>();
  readonly #llm = new LlmMetrics(this.registry);

  readonly #total = this.#counter("nfrx_request_total", "Requests taken.", REQUEST_LABELS);
  readonly #started = this.#counter("nfrx_request_started_total", "Requests begun.", REQUEST_LABELS);
  readonly #completed = this.#counter("nfrx_request_completed_total", "Requests that ended.", [
    ...REQUEST_LABELS,
    "success",
    "error_code",
  ]);
  readonly #duration = this.#histogram(
    "nfrx_request_duration_seconds",
    "Time from a request's arrival to its end.",
    DURATIONS,
  );
  readonly #inflight = new CellGauge({
    name: "nfrx_request_inflight",
    help: "Requests under way.",
    labelNames: REQUEST_LABELS,
    registers: [this.registry],
  });
  readonly #size = this.#counter("nfrx_request_size_total", "Tokens and embeddings of requests.", [
    ...REQUEST_LABELS,
    "size_kind",
  ]);
  readonly #firstByte = this.#histogram(
    "nfrx_request_first_byte_seconds",
    "Time from a request's arrival to the worker's first answer.",
    SHORT,
  );
  readonly #queueWait = this.#histogram("nfrx_request_queue_seconds", "Time requests waited for a worker.", SHORT);
  readonly #retries = this.#counter(
    "nfrx_request_retries_total",
    "Requests sent to another worker after the first was lost or refused.",
    REQUEST_LABELS,
  );
  readonly #partCompleted = this.#counter("nfrx_request_chunk_completed_total", "Parts of split requests that ended.", [
    ...REQUEST_LABELS,
    "worker_id",
    "success",
    "error_code",
  ]);
  readonly #partDuration = new CellHistogram({
    name: "nfrx_request_chunk_duration_seconds",
    help: "Time of a split request's part.",
    labelNames: [...REQUEST_LABELS, "worker_id"],
    buckets: DURATIONS,
    registers: [this.registry],
  });
  readonly #partSize = this.#counter(
    "nfrx_request_chunk_size_total",
    "Tokens and embeddings of split requests' parts.",
    [...REQUEST_LABELS, "worker_id", "size_kind"],
  );
  readonly #refused = new Counter({
    name: "nfrx_refused_total",
    help: "Requests and agents turned away, by reason.",
    labelNames: ["reason"],
    registers: [this.registry],
  });
  readonly #unhandled = new Counter({
    name: "nfrx_unhandled_errors_total",
    help: "Errors that no code had expected.",
    registers: [this.registry],
  });

  constructor(private readonly isServed: (model: string) => boolean) {
    collectDefaultMetrics({ register: this.registry });
    const build = { component: "server", version: VERSION, sha: SHA, date: DATE };
    for (const name of ["nfrx_build_info", "nfrx_server_build_info"]) {
      const help = "Always 1; the build in its labels.";
      const gauge = new Gauge({
        name,
        help,
        labelNames: ["component", "version", "sha", "date"],
        registers: [this.registry],
      });
      gauge.set(build, 1);
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

  /** The series of a kind of request; a model nobody serves is `unknown`, and where there are no models the module's id stands. */
  series(ext: string, jobType: string, model: string | undefined): RequestSeries {
    const label = model === undefined ? ext : this.isServed(model) ? this.#models.of(model) : "unknown";
    return this.#seriesOf({ ext, plugin_type: "worker", job_type: jobType, label });
  }

  /** The series of a call through a tunnel, by its method. */
  callSeries(ext: string, method: string): RequestSeries {
    return this.#seriesOf({ ext, plugin_type: "tunnel", job_type: `${ext}.call`, label: this.#methods.of(method) });
  }

  begin(series: RequestSeries): void {
    series.total.value++;
    series.started.value++;
    series.inflight.value++;
  }

  end(report: RequestReport): void {
    const { series, errorCode, seconds, usage, embeddings } = report;
    series.inflight.value--;
    series.completed(errorCode).value++;
    series.duration.observe(seconds);
    if (report.firstByteSeconds !== undefined) series.firstByte.observe(report.firstByteSeconds);
    if (report.queueSeconds !== undefined) series.queueWait.observe(report.queueSeconds);
    series.retries.value += report.retries;
    if (usage !== undefined) {
      series.size("tokens_in").value += usage.in;
      series.size("tokens_out").value += usage.out;
      series.size("tokens_total").value += usage.total;
    }
    if (embeddings > 0) series.size("embeddings").value += embeddings;
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
    items: number,
  ): void {
    const labels = { ...series.labels, worker_id: this.#workers.of(workerId) };
    if (labels.ext === "llm") this.#llm.byWorker(labels.label, labels.worker_id, seconds, usage, items);
    this.#partCompleted.cell({ ...labels, success: String(errorCode === ""), error_code: errorCode }).value++;
    this.#partDuration.cell(labels).observe(seconds);
    if (usage !== undefined) this.#partSize.cell({ ...labels, size_kind: "tokens_total" }).value += usage.total;
    if (items > 0) this.#partSize.cell({ ...labels, size_kind: "embeddings" }).value += items;
  }

  refused(reason: string): void {
    this.#refused.inc({ reason });
  }

  unhandled(): void {
    this.#unhandled.inc();
  }

  #seriesOf(labels: RequestLabels): RequestSeries {
    const key = `${labels.ext}\n${labels.job_type}\n${labels.label}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = this.#open(labels);
      this.#series.set(key, series);
    }
    return series;
  }

  #open(labels: RequestLabels): RequestSeries {
    return {
      labels,
      total: this.#total.cell(labels),
      started: this.#started.cell(labels),
      inflight: this.#inflight.cell(labels),
      duration: this.#duration.cell(labels),
      firstByte: this.#firstByte.cell(labels),
      queueWait: this.#queueWait.cell(labels),
      retries: this.#retries.cell(labels),
      completed: remember(code => this.#completed.cell({ ...labels, success: String(code === ""), error_code: code })),
      size: remember(kind => this.#size.cell({ ...labels, size_kind: kind })),
    };
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[]): CellCounter<L> {
    return new CellCounter({ name, help, labelNames, registers: [this.registry] });
  }

  #histogram(name: string, help: string, buckets: number[]): CellHistogram<RequestLabel> {
    return new CellHistogram({ name, help, labelNames: REQUEST_LABELS, buckets, registers: [this.registry] });
  }
}
