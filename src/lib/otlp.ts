// The one file that stands on OpenTelemetry's library: spans to a collector, as OTLP over HTTP. Imported only when there
// are traces, so that a program without them is neither slower to start nor larger in memory.
import {
  createTraceState,
  type HrTime,
  type SpanContext as PlaceInTrace,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
} from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { type Resource, resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from "@opentelemetry/sdk-trace";
import { messageOf } from "./errors.ts";
import type { Logger } from "./log.ts";
import type { Cell } from "./series.ts";
import { type Clock, pause } from "./time.ts";
import type { Attributes, Span, SpanContext } from "./trace.ts";
import { VERSION } from "./version.ts";

/** Spans that may wait for the collector, those on their way included; more are dropped and counted. */
export const TRACE_QUEUE_MAX = 8192;
/** Spans that are sent at once. */
export const TRACE_BATCH = 512;
/** Milliseconds after which ended spans are sent at the latest. */
export const TRACE_DELAY_MS = 2_000;
/** Milliseconds that the collector has to take a batch, further attempts included; then the batch is lost. */
export const TRACE_EXPORT_MS = 10_000;
/** Milliseconds that a program which ends waits for the collector to take the last spans. */
export const TRACE_FLUSH_MS = 3_000;
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

/** Sends spans to a collector, in batches, and never holds anybody up: what it cannot take is dropped and counted. */
export class OtlpExport {
  /** Spans by what became of them. */
  counts: Record<SpanOutcome, Cell> = { exported: { value: 0 }, failed: { value: 0 }, dropped: { value: 0 } };
  readonly #options: OtlpOptions;
  readonly #resource: Resource;
  readonly #exporter: OTLPTraceExporter;
  readonly #batches: BatchSpanProcessor;
  #waiting = 0;
  #warnedAt = Number.NEGATIVE_INFINITY;

  constructor(options: OtlpOptions) {
    const { url, headers, resource } = options;
    this.#options = options;
    this.#resource = resourceFromAttributes(resource);
    this.#exporter = new OTLPTraceExporter({ url, headers: { ...headers }, timeoutMillis: TRACE_EXPORT_MS });
    const exporter: SpanExporter = {
      export: (spans, done) =>
        this.#exporter.export(spans, result => {
          this.#waiting -= spans.length;
          // A result's code is 0 when all went well.
          this.counts[result.code === 0 ? "exported" : "failed"].value += spans.length;
          if (result.code !== 0) this.#complain(result.error);
          done(result);
        }),
      shutdown: () => this.#exporter.shutdown(),
    };
    this.#batches = new BatchSpanProcessor({
      exporter,
      // The bound is kept in `take`, where it can be counted.
      maxQueueSize: TRACE_QUEUE_MAX,
      maxExportBatchSize: TRACE_BATCH,
      scheduledDelayMillis: TRACE_DELAY_MS,
      exportTimeoutMillis: TRACE_EXPORT_MS * 2,
    });
  }

  /** Takes a span that has ended. */
  take(span: Span): void {
    if (this.#waiting >= TRACE_QUEUE_MAX) {
      this.counts.dropped.value++;
      this.#complain("too many spans wait for the collector");
      return;
    }
    this.#waiting++;
    this.#batches.onEnd(new EndedSpan(span, this.#resource));
  }

  /** Sends what waits. Resolves when the collector has it, or has not. */
  async flush(): Promise<void> {
    await this.#batches.forceFlush().catch(() => {});
    await this.#exporter.forceFlush();
  }

  /** Sends what waits, for at most TRACE_FLUSH_MS, and takes nothing more. */
  async close(): Promise<void> {
    const done = new AbortController();
    const sent = this.#batches
      .shutdown()
      .catch(() => {})
      .finally(() => done.abort());
    await Promise.race([sent, pause(this.#options.clock, TRACE_FLUSH_MS, done.signal)]);
  }

  #complain(error: unknown): void {
    const { clock, log, url } = this.#options;
    const now = clock.now();
    if (now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    const { failed, dropped } = this.counts;
    const about = { url: plain(url), failed_spans: failed.value, dropped_spans: dropped.value };
    log.warn({ ...about, error: messageOf(error) }, "traces could not be sent");
  }
}

/** An address without a password that it may hold. */
function plain(address: string): string {
  const { origin, pathname } = new URL(address);
  return origin + pathname;
}

const KINDS = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT };
const SCOPE = { name: "nfrx", version: VERSION };
const OK = { code: SpanStatusCode.UNSET };
const FAILED = { code: SpanStatusCode.ERROR };
const NONE: never[] = [];

/** A span of ours as the library sends it. Ours are made by the thousand a second, and a tenth as dear as its own. */
class EndedSpan implements ReadableSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly parentSpanContext?: PlaceInTrace;
  readonly startTime: HrTime;
  readonly endTime: HrTime;
  readonly duration: HrTime;
  readonly status;
  readonly attributes;
  readonly links = NONE;
  readonly events = NONE;
  readonly ended = true;
  readonly instrumentationScope = SCOPE;
  readonly droppedAttributesCount = 0;
  readonly droppedEventsCount = 0;
  readonly droppedLinksCount = 0;
  readonly #context;

  constructor(
    span: Span,
    readonly resource: Resource,
  ) {
    this.name = span.name;
    this.kind = KINDS[span.kind];
    this.#context = contextOf(span.context);
    if (span.parent !== undefined) this.parentSpanContext = { ...contextOf(span.parent), isRemote: span.remote };
    this.startTime = hrTime(span.startedAt);
    this.endTime = hrTime(span.endedAt);
    this.duration = hrTime(span.endedAt - span.startedAt);
    this.status = span.failure === undefined ? OK : FAILED;
    this.attributes = span.attributes;
  }

  spanContext() {
    return this.#context;
  }
}

function contextOf({ traceId, spanId, flags, state }: SpanContext) {
  const context = { traceId, spanId, traceFlags: flags & TraceFlags.SAMPLED };
  return state === undefined ? context : { ...context, traceState: createTraceState(state) };
}

/** Milliseconds as whole seconds and nanoseconds. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.floor((ms - seconds * 1000) * 1e6)];
}
