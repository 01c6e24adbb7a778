// Traces across processes: W3C trace context and spans. otlp.ts sends them to a collector. Without traces there is no
// Tracer: it is undefined.
import { toNfrxError } from "./errors.ts";
import type { HeaderPairs } from "./http.ts";
import type { Clock } from "./time.ts";

/** Maximum length of a text in a span, in characters. */
export const TRACE_TEXT_MAX = 256;
/** Maximum length of a forwarded `tracestate`, in characters; the standard allows longer ones to be dropped. */
export const TRACE_STATE_MAX = 512;

export type SpanKind = "internal" | "server" | "client";

export type Attributes = Record<string, string | number | boolean | undefined>;

/** Attributes shared by many spans, so that their encoding can be cached. They must not change. */
export class SpanAttributes {
  constructor(readonly attributes: Attributes) {}
}

/** A place in a trace. */
export interface SpanContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** W3C trace flags; bit 0: the trace is recorded. */
  readonly flags: number;
  /** W3C's `tracestate`, which belongs to others. */
  readonly state: string | undefined;
}

/** Receives finished spans. */
export type SpanSink = (span: Span) => void;

export interface TracerOptions {
  clock: Clock;
  /** Share of the traces begun here that are recorded, from 0 to 1. */
  ratio: number;
  sink: SpanSink;
  random?: () => number;
}

/** Begins the spans of one process. */
export class Tracer {
  readonly ids = new Ids();
  readonly sink: SpanSink;
  readonly #clock: Clock;
  readonly #ratio: number;
  readonly #random: () => number;
  /** Milliseconds between the monotonic clock and 1970. */
  #offset = Number.NEGATIVE_INFINITY;

  constructor({ clock, ratio, sink, random = Math.random }: TracerOptions) {
    this.#clock = clock;
    this.#ratio = ratio;
    this.sink = sink;
    this.#random = random;
  }

  /**
   * The span of an incoming request. It continues the trace of a valid `traceparent` with its sampling flag; otherwise
   * it starts a new trace.
   */
  serve(name: string, traceparent: string | null | undefined, tracestate: string | null | undefined): Span {
    this.#setClock();
    const parent = traceparent ? parseTraceparent(traceparent, tracestate) : undefined;
    if (parent !== undefined) return new Span(this, name, "server", parent, true, isSampled(parent));
    return new Span(this, name, "server", undefined, false, this.#ratio >= 1 || this.#random() < this.#ratio);
  }

  /** Milliseconds since 1970, with parts of one. */
  now(): number {
    return this.#clock.now() + this.#offset;
  }

  /**
   * The wall clock has millisecond resolution, so the largest difference seen is the most accurate, until the clock is
   * set back. This keeps spans of two processes aligned, and those of one process in order.
   */
  #setClock(): void {
    const offset = this.#clock.wall() - this.#clock.now();
    if (offset > this.#offset || this.#offset - offset > STEP_MS) this.#offset = offset;
  }
}

const STEP_MS = 2;

/** One piece of work in a trace. One that is not recorded costs nothing further and only passes its trace on. */
export class Span {
  readonly context: SpanContext;
  readonly startedAt: number;
  endedAt = 0;
  /** The attributes, in order. */
  readonly parts: (Attributes | SpanAttributes)[] = [];
  /** Error code of the failure. */
  failure: string | undefined;

  constructor(
    private readonly tracer: Tracer,
    readonly name: string,
    readonly kind: SpanKind,
    readonly parent: SpanContext | undefined,
    /** The parent is in another process. */
    readonly remote: boolean,
    readonly recorded: boolean,
  ) {
    // An unrecorded span is invisible: its children get its parent.
    this.context = !recorded && parent !== undefined ? parent : contextBelow(parent, tracer.ids, recorded);
    this.startedAt = recorded ? tracer.now() : 0;
  }

  /** A span below this one. */
  child(name: string, kind: SpanKind): Span {
    return this.recorded ? new Span(this.tracer, name, kind, this.context, false, true) : this;
  }

  /** Adds attributes, each once; those without a value are skipped. */
  set(more: Attributes | SpanAttributes): void {
    if (this.recorded) this.parts.push(more);
  }

  /** Ends the span, once; `failure` is the error code. */
  end(failure?: string): void {
    if (!this.recorded || this.endedAt !== 0) return;
    this.failure = failure;
    this.endedAt = this.tracer.now();
    this.tracer.sink(this);
  }

  /** The headers of a request that this span sends on, with its own place in the trace instead of the caller's. */
  inject(headers: HeaderPairs): HeaderPairs {
    const { state } = this.context;
    const carried: HeaderPairs = [];
    for (const pair of headers) if (!isTraceHeader(pair[0])) carried.push(pair);
    carried.push(["traceparent", traceparentOf(this.context)]);
    if (state !== undefined) carried.push(["tracestate", state]);
    return carried;
  }
}

/** The code of a failure for `end`, unless the request was only canceled. */
export function failureOf(thrown: unknown): string | undefined {
  if (thrown === undefined) return undefined;
  const { code } = toNfrxError(thrown);
  return code === "canceled" ? undefined : code;
}

function isTraceHeader(name: string): boolean {
  return (name.length === 11 || name.length === 10) && /^trace(?:parent|state)$/i.test(name);
}

function contextBelow(parent: SpanContext | undefined, ids: Ids, recorded: boolean): SpanContext {
  const spanId = ids.take(8);
  if (parent === undefined) return { traceId: ids.take(16), spanId, flags: Number(recorded), state: undefined };
  return { traceId: parent.traceId, spanId, flags: parent.flags, state: parent.state };
}

function isSampled({ flags }: SpanContext): boolean {
  return (flags & SAMPLED) !== 0;
}

const SAMPLED = 1;
/** Known flags: sampled, and random trace ID. The meaning of other flags is not defined yet. */
const KNOWN_FLAGS = 3;

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?$/;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);
/** Characters of a `traceparent` of version 0. */
const TRACEPARENT_LENGTH = 55;

/** A `traceparent` with its `tracestate`, by W3C's rules; undefined when it is malformed. */
export function parseTraceparent(text: string, state: string | null | undefined): SpanContext | undefined {
  if (!TRACEPARENT.test(text)) return undefined;
  // Later versions may have more fields; ff is invalid.
  if (text.startsWith("ff") || (text.startsWith("00") && text.length > TRACEPARENT_LENGTH)) return undefined;
  const traceId = text.slice(3, 35);
  const spanId = text.slice(36, 52);
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  const kept = state && state.length <= TRACE_STATE_MAX ? state : undefined;
  return { traceId, spanId, flags: Number.parseInt(text.slice(53, TRACEPARENT_LENGTH), 16) & KNOWN_FLAGS, state: kept };
}

/** The `traceparent` of a place in a trace. */
export function traceparentOf({ traceId, spanId, flags }: SpanContext): string {
  return `00-${traceId}-${spanId}-0${flags}`;
}

// Random bytes are fetched in bulk: one system call per ID would cost more than the rest.
const POOL_BYTES = 4096;

/** Random ids in hexadecimal. */
class Ids {
  readonly #bytes = Buffer.alloc(POOL_BYTES);
  #digits = "";
  #at = 0;

  take(bytes: number): string {
    if (this.#at + bytes * 2 > this.#digits.length) {
      this.#digits = crypto.getRandomValues(this.#bytes).toString("hex");
      this.#at = 0;
    }
    const from = this.#at;
    this.#at += bytes * 2;
    return this.#digits.slice(from, this.#at);
  }
}
