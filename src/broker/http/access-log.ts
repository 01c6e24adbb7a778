// The access log: one line and one span per request, created from one record when the request ends.
import { NfrxError } from "../../lib/errors.ts";
import { requestIdOf } from "../../lib/http.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import { type Span, SpanAttributes, type Tracer } from "../../lib/trace.ts";
import type { KeyGrant, Principal, Scope } from "../../modules/route.ts";
import { RequestRecord } from "./request-record.ts";

/** The fields of a line, with their entries in doc/logs-and-traces.md. Fields that do not apply are omitted. */
export const ACCESS_FIELDS = {
  request_id: "Request ID, as sent to the client and the worker in `X-Request-Id`.",
  trace_id: "Trace ID, if the trace is recorded.",
  person: "Person behind the key, if an operator made it.",
  key: "ID of that key.",
  caller: "First four bytes of the SHA-256 of the caller's key; `-` without a key.",
  method: "HTTP method.",
  route: "Route pattern, never the path itself; `-` for an unknown route.",
  job_type: "Request type, as in the metrics.",
  model: "Requested model.",
  served_model: "Model name sent to the worker, if it differs.",
  relay: "ID of the MCP relay.",
  call: "MCP method.",
  worker_id: "The last worker of the request, or all workers of a split request.",
  queue_ms: "Milliseconds the request waited for a worker.",
  first_byte_ms: "Milliseconds from arrival to the head of the worker's response.",
  duration_ms: "Milliseconds from arrival to the end of the response.",
  bytes_in: "Bytes of the request body that were read.",
  bytes_out: "Bytes of the response body as sent (after compression, if any).",
  tokens_in: "Input tokens, as counted by the backend.",
  tokens_out: "Output tokens, as counted by the backend.",
  estimated: "`true` if the broker estimated the tokens, because the backend did not count them.",
  retries: "Number of retries on another worker.",
  status: "Status of the response; 499 if the client disconnected before it.",
  outcome:
    "`ok` if the response was sent completely; `upstream_error` if the backend responded with 500 or above; `canceled` if the client disconnected; else the error code, or `refused` if there is none.",
  error: "Error message, if it is the broker's own.",
  cause: "Cause of the error, for the operator.",
} as const;

type AccessLine = Record<keyof typeof ACCESS_FIELDS, string | number | boolean | undefined>;

/** Characters of an error's words in the access log. */
const ACCESS_TEXT_MAX = 500;
/** The message of each line. */
export const ACCESS_MESSAGE = "request ended";

export interface AccessLogOptions {
  log: Logger;
  clock: Clock;
  /** Otherwise only errors of the broker itself are logged. */
  enabled: boolean;
  tracer?: Tracer | undefined;
  /** Called when a request has ended, with its status. */
  onEnd?: ((record: AccessRecord, status: number, error: NfrxError | undefined) => void) | undefined;
}

/** A route in the access log. */
export class AccessRoute {
  /** The name of its spans. */
  readonly name: string;
  readonly facts: SpanAttributes;
  /** Monitoring requests and long-running streams are not traced. */
  readonly traced: boolean;

  constructor(
    method: string,
    readonly pattern: string,
    readonly scopes: readonly Scope[] = [],
    /** The part of the API whose workers or relays serve it. */
    readonly module?: string | undefined,
  ) {
    this.name = `${method} ${pattern}`;
    this.facts = new SpanAttributes({ "http.request.method": method, "http.route": pattern });
    this.traced = pattern.startsWith("/api/") && !/^\/api\/(?:state|client)\b/.test(pattern);
  }
}

/** The sink of request records. */
export class AccessLog {
  constructor(private readonly options: AccessLogOptions) {}

  /** Notes a request that has come in. The caller of this ends it. */
  begin(request: Request, route: AccessRoute): AccessRecord {
    return new AccessRecord(this.options, request, route);
  }
}

/** One request, from its arrival to its end. */
export class AccessRecord extends RequestRecord implements KeyGrant {
  readonly id: string;
  readonly arrivedAt: number;
  readonly span: Span | undefined;
  /** The answer is the broker's, and no backend's. */
  own = false;
  /** Set once it is known. */
  principal: Principal | undefined;
  /** Ends the hold on its key. */
  unhold: (() => void) | undefined;
  readonly #method: string;

  constructor(
    private readonly options: AccessLogOptions,
    { method, headers }: Request,
    private readonly route: AccessRoute,
  ) {
    super();
    const { clock, tracer } = options;
    this.id = requestIdOf(headers);
    this.arrivedAt = clock.now();
    this.#method = method;
    this.span =
      tracer !== undefined && route.traced
        ? tracer.serve(route.name, headers.get("traceparent"), headers.get("tracestate"))
        : undefined;
  }

  get scopes(): readonly Scope[] {
    return this.route.scopes;
  }

  get models(): readonly string[] {
    return [this.model, this.servedModel].filter(name => name !== undefined);
  }

  /** The part of the API whose workers or relays serve it; undefined for what the broker answers itself. */
  get module(): string | undefined {
    return this.route.module;
  }

  /** Its key no longer allows it. A handler that is not ready for that yet hears of it when it is. */
  cut(): void {
    this.endsBy(new NfrxError("unauthorized", "the API key has ended, or no longer allows this request"));
  }

  /** Writes its line and ends its span. */
  protected override finish(error: NfrxError | undefined): void {
    this.unhold?.();
    const status = this.status ?? error?.status ?? 200;
    this.options.onEnd?.(this, status, error);
    if (this.span?.recorded) this.#endSpan(this.span, status, error);
    const { log, enabled } = this.options;
    if (error?.code === "internal") log.error(this.#line(status, error), ACCESS_MESSAGE);
    else if (!enabled) return;
    else if (error === undefined ? status < 400 : error.code === "canceled")
      log.info(this.#line(status, error), ACCESS_MESSAGE);
    else log.warn(this.#line(status, error), ACCESS_MESSAGE);
  }

  #line(status: number, error: NfrxError | undefined): AccessLine {
    const { usage, span, options } = this;
    const cause = error?.detail.cause;
    return {
      request_id: this.id,
      trace_id: span?.recorded ? span.context.traceId : undefined,
      ...this.#whose(),
      method: this.#method,
      route: this.route.pattern,
      job_type: this.jobType,
      model: this.model,
      served_model: this.servedModel,
      relay: this.relay,
      call: this.call,
      worker_id: this.workerId,
      queue_ms: rounded(this.queueMs),
      first_byte_ms: rounded(this.firstByteMs),
      duration_ms: rounded(options.clock.now() - this.arrivedAt),
      bytes_in: this.bytesIn,
      bytes_out: this.bytesOut,
      tokens_in: usage?.in,
      tokens_out: usage?.out,
      estimated: this.estimated || undefined,
      retries: this.retries,
      status,
      outcome: this.#outcome(status, error),
      error: error?.detail.foreign ? undefined : error?.message.slice(0, ACCESS_TEXT_MAX),
      cause: cause === undefined ? undefined : String(cause).slice(0, ACCESS_TEXT_MAX),
    };
  }

  #whose() {
    const { key, person, credential = "-" } = this.principal ?? {};
    return key === undefined
      ? { person, key: undefined, caller: credential }
      : { person, key: key.id, caller: undefined };
  }

  #outcome(status: number, error: NfrxError | undefined): string {
    return error?.code ?? (this.own && status >= 400 ? "refused" : "ok");
  }

  #endSpan(span: Span, status: number, error: NfrxError | undefined): void {
    const { usage } = this;
    span.set(this.route.facts);
    span.set({
      "http.response.status_code": status,
      "gen_ai.request.model": this.model,
      "gen_ai.response.model": this.servedModel,
      "gen_ai.usage.input_tokens": usage?.in,
      "gen_ai.usage.output_tokens": usage?.out,
      "mcp.method.name": this.call,
      "nfrx.request.id": this.id,
      "nfrx.relay": this.relay,
      "nfrx.worker.id": this.workerId,
      "nfrx.outcome": this.#outcome(status, error),
      "nfrx.retries": this.retries || undefined,
      "error.type": error?.code,
    });
    // By OpenTelemetry's convention, client errors are not server errors.
    span.end(status >= 500 || (error?.status ?? 0) >= 500 ? (error?.code ?? String(status)) : undefined);
  }
}

/** Milliseconds to a hundredth. */
function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 100) / 100;
}
