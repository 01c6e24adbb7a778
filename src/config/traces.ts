import { options } from "./group.ts";
import { option } from "./option.ts";

/** Trace options of every program, with OpenTelemetry's names. */
export function traceOptions(program: string) {
  return options("Traces", {
    endpoint: option.url({
      env: "OTEL_EXPORTER_OTLP_ENDPOINT",
      default: undefined,
      defaultNote: "unset, which disables traces",
      help: "URL of an OpenTelemetry collector that accepts OTLP over HTTP, such as http://127.0.0.1:4318. /v1/traces is appended.",
    }),
    headers: option.pairs({
      env: "OTEL_EXPORTER_OTLP_HEADERS",
      default: {},
      help: "Headers to send to the collector, such as authorization=Bearer%20key. Never displayed.",
    }),
    serviceName: option.text({
      env: "OTEL_SERVICE_NAME",
      default: program,
      help: "Service name of this program in traces.",
    }),
    resource: option.pairs({
      env: "OTEL_RESOURCE_ATTRIBUTES",
      default: {},
      help: "Additional resource attributes in traces, such as deployment.environment.name=test. Never displayed here.",
    }),
    ratio: option.number({
      env: "OTEL_TRACES_SAMPLER_ARG",
      default: 1,
      min: 0,
      max: 1,
      help: "Share of new traces to record. A request with a traceparent header follows its sampling flag.",
    }),
  });
}
