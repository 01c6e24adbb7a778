import {
  type Cell,
  type Distribution,
  DURATIONS,
  type Histogram,
  Memo,
  type Meters,
  type Numbers,
} from "../../lib/series.ts";

const SHORT = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const;
/** The labels of a kind of request; `label` is its model, its MCP method, or the module's ID. */
const REQUEST = ["ext", "plugin_type", "job_type", "label"] as const;
type RequestLabel = (typeof REQUEST)[number];
export type RequestLabels = Readonly<Record<RequestLabel, string>>;

/** How far a request had come when its client went away. */
export type CancelPhase = "queued" | "unanswered" | "answering";

/** The series of one kind of request: looked up once, counted by adding. */
export interface RequestSeries {
  readonly labels: RequestLabels;
  readonly total: Cell;
  readonly started: Cell;
  readonly inflight: Cell;
  readonly duration: Distribution;
  readonly firstByte: Distribution;
  readonly gap: Distribution;
  readonly queueWait: Distribution;
  readonly retries: Cell;
  /** By error code, which is empty when it went well. */
  readonly completed: Memo<Cell>;
  readonly canceled: Memo<Cell>;
  /** By kind: tokens_in, tokens_out, tokens_total, embeddings. */
  readonly size: Memo<Cell>;
  /** By the hundreds of a backend's status. */
  readonly answers: Memo<Cell>;
}

/** The metrics of requests of every module, the parts of those that were split included. */
export class RequestMetrics {
  readonly #series = new Map<string, RequestSeries>();
  readonly #total: Numbers<RequestLabel>;
  readonly #started: Numbers<RequestLabel>;
  readonly #completed: Numbers<RequestLabel | "success" | "error_code">;
  readonly #canceled: Numbers<RequestLabel | "phase">;
  readonly #duration: Histogram<RequestLabel>;
  readonly #inflight: Numbers<RequestLabel>;
  readonly #size: Numbers<RequestLabel | "size_kind">;
  readonly #firstByte: Histogram<RequestLabel>;
  readonly #gap: Histogram<RequestLabel>;
  readonly #queueWait: Histogram<RequestLabel>;
  readonly #retries: Numbers<RequestLabel>;
  readonly #answers: Numbers<RequestLabel | "status">;
  readonly #partCompleted: Numbers<RequestLabel | "worker_id" | "success" | "error_code">;
  readonly #partDuration: Histogram<RequestLabel | "worker_id">;
  readonly #partSize: Numbers<RequestLabel | "worker_id" | "size_kind">;

  constructor(meters: Meters) {
    this.#total = meters.counter("nfrx_request_total", "Accepted requests.", REQUEST);
    this.#started = meters.counter(
      "nfrx_request_started_total",
      "Requests sent to a worker; the others found none.",
      REQUEST,
    );
    this.#completed = meters.counter(
      "nfrx_request_completed_total",
      "Finished requests. A backend response of 500 or above counts as upstream_error, any other as success: see nfrx_request_backend_answers_total.",
      [...REQUEST, "success", "error_code"],
    );
    this.#canceled = meters.counter(
      "nfrx_request_canceled_total",
      "Requests canceled by the client, by phase: queued (no worker yet), unanswered (no byte yet), answering.",
      [...REQUEST, "phase"],
    );
    this.#inflight = meters.gauge("nfrx_request_inflight", "Requests in flight, queued ones included.", REQUEST);
    this.#duration = meters.histogram(
      "nfrx_request_duration_seconds",
      "Duration from a request's arrival to its end.",
      DURATIONS,
      REQUEST,
    );
    this.#firstByte = meters.histogram(
      "nfrx_request_first_byte_seconds",
      "Duration from a request's arrival to the first byte of the response body.",
      DURATIONS,
      REQUEST,
    );
    this.#gap = meters.histogram(
      "nfrx_request_gap_seconds",
      "Time between two chunks of a streamed response, while the client was ready for more.",
      SHORT,
      REQUEST,
    );
    this.#queueWait = meters.histogram(
      "nfrx_request_queue_seconds",
      "Time that requests spent in the queue, whatever the outcome. Requests that did not wait are not counted.",
      DURATIONS,
      REQUEST,
    );
    this.#retries = meters.counter(
      "nfrx_request_retries_total",
      "Retries of a request, or of a part of one, on another worker because the first was lost, refused or failed.",
      REQUEST,
    );
    this.#answers = meters.counter(
      "nfrx_request_backend_answers_total",
      "Backend responses by status class: 2xx, 3xx, 4xx, 5xx.",
      [...REQUEST, "status"],
    );
    this.#size = meters.counter(
      "nfrx_request_size_total",
      "Tokens, as reported by backends, and embeddings, by size_kind: tokens_in, tokens_out, tokens_total, embeddings.",
      [...REQUEST, "size_kind"],
    );
    const part = [...REQUEST, "worker_id"] as const;
    this.#partCompleted = meters.counter("nfrx_request_chunk_completed_total", "Finished parts of split requests.", [
      ...part,
      "success",
      "error_code",
    ]);
    this.#partDuration = meters.histogram(
      "nfrx_request_chunk_duration_seconds",
      "Duration of a part of a split request.",
      DURATIONS,
      part,
    );
    this.#partSize = meters.counter(
      "nfrx_request_chunk_size_total",
      "Tokens and embeddings of parts of split requests.",
      [...part, "size_kind"],
    );
  }

  /** The series of a kind of request. */
  of(labels: RequestLabels): RequestSeries {
    const key = `${labels.ext}\n${labels.job_type}\n${labels.label}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = this.#open(labels);
      this.#series.set(key, series);
    }
    return series;
  }

  /** Has the series looked up anew, after some have ended. */
  forget(): void {
    this.#series.clear();
  }

  /** One part of a split request, at a worker. */
  part(
    { labels }: RequestSeries,
    workerId: string,
    errorCode: string,
    seconds: number,
    sizes: { tokens: number; embeddings: number },
  ): void {
    const part = { ...labels, worker_id: workerId };
    this.#partCompleted.cell({ ...part, success: String(errorCode === ""), error_code: errorCode }).value++;
    this.#partDuration.cell(part).observe(seconds);
    if (sizes.tokens > 0) this.#partSize.cell({ ...part, size_kind: "tokens_total" }).value += sizes.tokens;
    if (sizes.embeddings > 0) this.#partSize.cell({ ...part, size_kind: "embeddings" }).value += sizes.embeddings;
  }

  #open(labels: RequestLabels): RequestSeries {
    return {
      labels,
      total: this.#total.cell(labels),
      started: this.#started.cell(labels),
      inflight: this.#inflight.cell(labels),
      duration: this.#duration.cell(labels),
      firstByte: this.#firstByte.cell(labels),
      gap: this.#gap.cell(labels),
      queueWait: this.#queueWait.cell(labels),
      retries: this.#retries.cell(labels),
      completed: new Memo(code => this.#completed.cell({ ...labels, success: String(code === ""), error_code: code })),
      canceled: new Memo(phase => this.#canceled.cell({ ...labels, phase })),
      size: new Memo(kind => this.#size.cell({ ...labels, size_kind: kind })),
      answers: new Memo(status => this.#answers.cell({ ...labels, status })),
    };
  }
}
