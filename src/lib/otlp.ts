// The one file that stands on OpenTelemetry's library: spans to a collector, as OTLP over HTTP. Imported only when there
// are traces, so that a program without them is neither slower to start nor larger in memory.
import {
  createOtlpNetworkExportDelegate,
  ExporterMetrics,
  type IExporterTransport,
  OTLPExporterBase,
} from "@opentelemetry/otlp-exporter-base";
import { type ISerializer, JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { bytesUpTo } from "./bytes.ts";
import { messageOf } from "./errors.ts";
import type { Logger } from "./log.ts";
import { SpanWriter } from "./otlp-json.ts";
import type { SpanCounts } from "./span-counts.ts";
import { Backoff, type Clock, pause, type Timer } from "./time.ts";
import type { Attributes, Span } from "./trace.ts";
import { VERSION } from "./version.ts";

/** Spans that may wait for the collector, those on their way included; more are dropped and counted. */
export const TRACE_QUEUE_MAX = 8192;
/** Spans that become bytes together. */
const TRACE_BATCH = 128;
/** Bytes of spans that are sent at once. */
export const TRACE_BATCH_BYTES = 512 * 1024;
/** Milliseconds after which ended spans are sent at the latest. */
export const TRACE_DELAY_MS = 2_000;
/** Milliseconds that the collector has to take a batch, further attempts included; then the batch is lost. */
export const TRACE_EXPORT_MS = 10_000;
/** Milliseconds that a program which ends waits for the collector to take the last spans. */
export const TRACE_FLUSH_MS = 3_000;
/** Bytes of a collector's answer that are read. */
const ANSWER_BYTES = 64 * 1024;
/** The statuses that OTLP calls passing: the same may be taken a little later. */
const PASSING: ReadonlySet<number> = new Set([429, 502, 503, 504]);
// Lines about a collector that takes nothing are this far apart.
const WARN_MS = 60_000;

export type SpanOutcome = "exported" | "failed" | "dropped";

export interface OtlpOptions {
  /** Where spans are posted to. */
  url: string;
  headers: Readonly<Record<string, string>>;
  /** What the spans say of this program. */
  resource: Attributes;
  clock: Clock;
  log: Logger;
}

/** Spans as they are sent together. */
interface Batch {
  body: Uint8Array;
  spans: number;
}

/** The library serializes what it is given when it sends; ours is text by then. */
const WRITTEN: ISerializer<Batch, unknown> = {
  serializeRequest: ({ body }) => body,
  deserializeResponse: answer => JsonTraceSerializer.deserializeResponse(answer),
};

/** Sends spans to a collector, in batches, one after the other, and never holds anybody up: what it cannot take is dropped and counted. */
export class OtlpExport {
  /** Spans by what became of them. */
  counts: SpanCounts = { exported: { value: 0 }, failed: { value: 0 }, dropped: { value: 0 } };
  readonly #options: OtlpOptions;
  readonly #exporter: OTLPExporterBase<Batch>;
  readonly #writer: SpanWriter;
  readonly #ready: Batch[] = [];
  #ended: Span[] = [];
  #waiting = 0;
  #timer: Timer | undefined;
  #sending: Promise<void> | undefined;
  #closed = false;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: OtlpOptions) {
    this.#options = options;
    this.#writer = new SpanWriter(TRACE_BATCH_BYTES, options.resource, { name: "nfrx", version: VERSION });
    // Batches go one after the other, but the library tells of one before it gives that one's place back.
    const settings = { timeoutMillis: TRACE_EXPORT_MS, concurrencyLimit: 2, compression: "none" } as const;
    const metrics = new ExporterMetrics<Batch>({
      componentType: "otlp_http_json_span_exporter",
      metricsHelper: { name: "span", countItems: ({ spans }) => spans },
      url: options.url,
      meterProvider: undefined,
      responseAttributesFromError: () => ({}),
    });
    this.#exporter = new OTLPExporterBase(
      createOtlpNetworkExportDelegate(settings, WRITTEN, metrics, transport(options)),
    );
  }

  /** Takes a span that has ended. */
  take(span: Span): void {
    if (this.#waiting >= TRACE_QUEUE_MAX || this.#closed) {
      this.counts.dropped.value++;
      if (!this.#closed) this.#complain("too many spans wait for the collector");
      return;
    }
    this.#waiting++;
    this.#ended.push(span);
    if (this.#ended.length >= TRACE_BATCH) this.#write();
    this.#timer ??= this.#options.clock.after(TRACE_DELAY_MS, () => this.#seal(), true);
  }

  /** Sends what waits. Resolves when the collector has it, or has not. */
  async flush(): Promise<void> {
    this.#seal();
    await this.#sending;
  }

  /** Sends what waits, for at most TRACE_FLUSH_MS, and takes nothing more. */
  async close(): Promise<void> {
    this.#closed = true;
    const done = new AbortController();
    const sent = this.flush().finally(() => done.abort());
    await Promise.race([sent, pause(this.#options.clock, TRACE_FLUSH_MS, done.signal)]);
  }

  /** What has been written goes its way. */
  #seal(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#write();
    this.#pass();
  }

  /** Spans become bytes some at a time, which takes half as long as one by one among all that a broker does besides. */
  #write(): void {
    for (const span of this.#ended) {
      this.#writer.write(span);
      if (this.#writer.full) this.#pass();
    }
    this.#ended = [];
  }

  /** What is written goes its way. */
  #pass(): void {
    const { spans } = this.#writer;
    const body = this.#writer.take();
    if (body === undefined) return;
    this.#ready.push({ body, spans });
    this.#sending ??= this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    for (let batch = this.#ready.shift(); batch !== undefined; batch = this.#ready.shift()) {
      const { spans, body } = batch;
      const error = await this.#send(batch);
      this.#waiting -= spans;
      this.counts[error === undefined ? "exported" : "failed"].value += spans;
      if (error === undefined) this.#writer.reuse(body);
      else this.#complain(error);
    }
    this.#sending = undefined;
  }

  /** Resolves with what went wrong, if anything. */
  #send(batch: Batch): Promise<string | undefined> {
    return new Promise(resolve => {
      // A result's code is 0 when all went well.
      this.#exporter.export(batch, ({ code, error }) =>
        resolve(code === 0 ? undefined : error === undefined ? "the collector did not take them" : messageOf(error)),
      );
    });
  }

  #complain(error: string): void {
    const { clock, log, url } = this.#options;
    const now = clock.now();
    if (now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    const { failed, dropped } = this.counts;
    const about = { url: plain(url), failed_spans: failed.value, dropped_spans: dropped.value };
    log.warn({ ...about, error }, "traces could not be sent");
  }
}

/** How a batch gets to the collector: by `fetch`, which costs a fifth of what the library's own way does under Bun. */
function transport({ url, headers, clock }: OtlpOptions): IExporterTransport {
  const init = {
    method: "POST",
    headers: { ...headers, "content-type": "application/json" },
    redirect: "manual",
  } as const;
  type Outcome = Awaited<ReturnType<IExporterTransport["send"]>>;
  const post = async (body: Uint8Array<ArrayBuffer>, ms: number): Promise<Outcome> => {
    try {
      const response = await fetch(url, { ...init, body, signal: AbortSignal.timeout(ms) });
      const answer = await bytesUpTo(ANSWER_BYTES, response.body);
      if (response.ok) return { status: "success", ...(answer?.length && { data: answer }) };
      const error = new Error(`the collector answered ${response.status}`);
      return PASSING.has(response.status) ? { status: "retryable", error } : { status: "failure", error };
    } catch (thrown) {
      return { status: "retryable", error: new Error(messageOf(thrown)) };
    }
  };
  return {
    async send(data, timeoutMs) {
      const end = clock.now() + timeoutMs;
      const backoff = new Backoff();
      for (;;) {
        const outcome = await post(data as Uint8Array<ArrayBuffer>, Math.max(1, end - clock.now()));
        const wait = backoff.next();
        if (outcome.status !== "retryable" || clock.now() + wait >= end) return outcome;
        await pause(clock, wait);
      }
    },
    shutdown() {},
  };
}

/** An address without a password that it may hold. */
function plain(address: string): string {
  const { origin, pathname } = new URL(address);
  return origin + pathname;
}
