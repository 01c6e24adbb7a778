// Traces as a program has them: from its options to a tracer, and to the end of the process.
import type { Logger } from "./log.ts";
import { OtlpExport } from "./otlp.ts";
import type { SpanCounts } from "./span-counts.ts";
import { type Clock, systemClock } from "./time.ts";
import { Tracer } from "./trace.ts";
import { VERSION } from "./version.ts";

/** The options of traces. */
export interface TraceSettings {
  endpoint: string | undefined;
  headers: Readonly<Record<string, string>>;
  serviceName: string;
  resource: Readonly<Record<string, string>>;
  ratio: number;
}

/** The tracing of a program. */
export interface Tracing {
  readonly tracer: Tracer;
  /** Adds the outcomes of spans to the metrics. */
  count(counts: SpanCounts): void;
  /** Sends waiting spans; resolves when the collector has responded. */
  flush(): Promise<void>;
  /** The same for at most TRACE_FLUSH_MS, at the end of the process. Never rejects. */
  close(): Promise<void>;
}

/** Starts tracing as configured; undefined if traces are disabled. */
export function openTracing(settings: TraceSettings, log: Logger, clock: Clock = systemClock): Tracing | undefined {
  const { endpoint, headers, serviceName, resource, ratio } = settings;
  if (endpoint === undefined) return undefined;
  const exporting = new OtlpExport({
    url: `${endpoint.replace(/\/+$/, "")}/v1/traces`,
    headers: decoded(headers),
    resource: {
      "service.instance.id": crypto.randomUUID(),
      ...decoded(resource),
      "service.name": serviceName,
      "service.version": VERSION,
    },
    clock,
    log,
  });
  const tracer = new Tracer({ clock, ratio, sink: span => exporting.take(span) });
  return {
    tracer,
    count(counts) {
      exporting.counts = counts;
    },
    flush: () => exporting.flush(),
    close: () => exporting.close(),
  };
}

/** OpenTelemetry percent-encodes values in these variables; invalid encodings are used unchanged. */
function decoded(pairs: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(pairs).map(([name, value]) => {
      try {
        return [name, decodeURIComponent(value)];
      } catch {
        return [name, value];
      }
    }),
  );
}
