import { options } from "./group.ts";
import { option } from "./option.ts";

/** What every program can be told of traces, by the names that OpenTelemetry gives them. */
export function traceOptions(program: string) {
  return options("Traces", {
    endpoint: option.url({
      env: "OTEL_EXPORTER_OTLP_ENDPOINT",
      default: undefined,
      defaultNote: "unset, which makes no traces",
      help: "Address of an OpenTelemetry collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; /v1/traces is added.",
    }),
    headers: option.pairs({
      env: "OTEL_EXPORTER_OTLP_HEADERS",
      default: {},
      help: "Headers that the collector wants, such as authorization=Bearer%20key. Never shown.",
    }),
    serviceName: option.text({
      env: "OTEL_SERVICE_NAME",
      default: program,
      help: "Name of this program in traces.",
    }),
    resource: option.pairs({
      env: "OTEL_RESOURCE_ATTRIBUTES",
      default: {},
      help: "What traces say of this program besides, such as deployment.environment.name=test. Never shown here.",
    }),
    ratio: option.number({
      env: "OTEL_TRACES_SAMPLER_ARG",
      default: 1,
      min: 0,
      max: 1,
      help: "Share of the traces that begin here which are recorded; a request that brings a traceparent is recorded when that says so.",
    }),
  });
}
