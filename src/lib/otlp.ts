// Sends spans to a collector by OTLP over HTTP: batches, retries, and counts of lost spans.
import { bytesUpTo } from "./bytes.ts";
import { messageOf } from "./errors.ts";
import type { Logger } from "./log.ts";
import { SpanWriter } from "./otlp-json.ts";
import type { SpanCounts } from "./span-counts.ts";
import { Backoff, type Clock, pause, type Timer } from "./time.ts";
import type { Attributes, Span } from "./trace.ts";
import { VERSION } from "./version.ts";

/** Maximum number of unsent spans, in-flight ones included; further ones are dropped and counted. */
export const TRACE_QUEUE_MAX = 8192;
/** Number of spans that are serialized in one step. */
const TRACE_BATCH = 128;
/** Maximum size of one request to the collector, in bytes. */
export const TRACE_BATCH_BYTES = 512 * 1024;
/** Maximum delay before finished spans are sent, in milliseconds. */
const TRACE_DELAY_MS = 2_000;
/** Time in milliseconds to deliver a batch to the collector, retries included; then the batch is lost. */
const TRACE_EXPORT_MS = 10_000;
/** Time in milliseconds that an exiting program waits for the collector to accept the last spans. */
export const TRACE_FLUSH_MS = 3_000;
/** Maximum response of a collector that is read, in bytes. */
const ANSWER_BYTES = 64 * 1024;
/** The statuses that OTLP calls retryable. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
// Minimum interval between warnings about an unavailable collector.
const WARN_MS = 60_000;

export interface OtlpOptions {
  /** Where spans are posted to. */
  url: string;
  headers: Readonly<Record<string, string>>;
  /** Resource attributes of this program. */
  resource: Attributes;
  clock: Clock;
  log: Logger;
}

/** Spans as they are sent together. */
interface Batch {
  body: Uint8Array<ArrayBuffer>;
  spans: number;
}

/** Sends spans to a collector in sequential batches without ever blocking: excess spans are dropped and counted. */
export class OtlpExport {
  /** Spans by outcome. */
  counts: SpanCounts = { exported: { value: 0 }, failed: { value: 0 }, dropped: { value: 0 } };
  readonly #options: OtlpOptions;
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
  }

  /** Adds a finished span. */
  take(span: Span): void {
    if (this.#waiting >= TRACE_QUEUE_MAX || this.#closed) {
      this.counts.dropped.value++;
      if (!this.#closed) this.#complain("dropping spans: too many are waiting for the collector");
      return;
    }
    this.#waiting++;
    this.#ended.push(span);
    if (this.#ended.length >= TRACE_BATCH) this.#write();
    this.#timer ??= this.#options.clock.after(TRACE_DELAY_MS, () => this.#seal(), true);
  }

  /** Sends waiting spans. Resolves when the collector has accepted or rejected them. */
  async flush(): Promise<void> {
    this.#seal();
    await this.#sending;
  }

  /** Sends waiting spans within TRACE_FLUSH_MS; accepts no more. */
  async close(): Promise<void> {
    this.#closed = true;
    const done = new AbortController();
    const sent = this.flush().finally(() => done.abort());
    await Promise.race([sent, pause(this.#options.clock, TRACE_FLUSH_MS, done.signal)]);
  }

  /** Sends the written bytes. */
  #seal(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#write();
    this.#pass();
  }

  /** Spans are serialized in groups, which takes half the time of serializing them one by one. */
  #write(): void {
    for (const span of this.#ended) {
      this.#writer.write(span);
      if (this.#writer.full) this.#pass();
    }
    this.#ended = [];
  }

  /** Sends the written bytes. */
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

  /** Sends a batch, with retries while the collector is unavailable. Resolves with the error, if any. */
  async #send({ body }: Batch): Promise<string | undefined> {
    const { clock } = this.#options;
    const end = clock.now() + TRACE_EXPORT_MS;
    const backoff = new Backoff();
    for (;;) {
      const { error, retryable } = await this.#post(body, Math.max(1, end - clock.now()));
      const wait = backoff.next();
      if (!retryable || clock.now() + wait >= end) return error;
      await pause(clock, wait);
    }
  }

  /** One attempt; `retryable`: another one may succeed. */
  async #post(body: Uint8Array<ArrayBuffer>, ms: number): Promise<{ error: string | undefined; retryable: boolean }> {
    const { url, headers } = this.#options;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        redirect: "manual",
        body,
        signal: AbortSignal.timeout(ms),
      });
      await bytesUpTo(ANSWER_BYTES, response.body); // read, so that the connection serves the next batch
      if (response.ok) return { error: undefined, retryable: false };
      return {
        error: `the collector responded with status ${response.status}`,
        retryable: RETRYABLE.has(response.status),
      };
    } catch (thrown) {
      return { error: messageOf(thrown), retryable: true };
    }
  }

  #complain(error: string): void {
    const { clock, log, url } = this.#options;
    const now = clock.now();
    if (now - this.#warnedAt < WARN_MS) return;
    this.#warnedAt = now;
    const { failed, dropped } = this.counts;
    const about = { url: plain(url), failed_spans: failed.value, dropped_spans: dropped.value };
    log.warn({ ...about, error }, "cannot send traces");
  }
}

/** An address without a password that it may hold. */
function plain(address: string): string {
  const { origin, pathname } = new URL(address);
  return origin + pathname;
}
