// What an operator's tools ask of the broker.
import type { Operation, Route } from "../../modules/route.ts";
import type { BrokerMetrics } from "./metrics.ts";
import { readState, type StateSources } from "./state.ts";
import type { StateStream } from "./stream.ts";

export function stateRoutes(sources: StateSources, stream: StateStream): Route[] {
  const route = (path: string, operation: Operation, answer: Route["answer"]): Route => ({
    method: "GET",
    path,
    tag: "state",
    auth: "api",
    errors: "openai",
    operation,
    answer,
  });
  return [
    route("/api/state", STATE, async () => Response.json(await readState(sources))),
    route("/api/state/stream", STREAM, ({ request, server, access }) => {
      server.timeout(request, 0);
      return stream.open(access);
    }),
  ];
}

export function metricsRoute(metrics: BrokerMetrics): Route {
  return {
    method: "GET",
    path: "/metrics",
    tag: "state",
    auth: "none",
    errors: "openai",
    operation: METRICS,
    answer: () => metricsResponse(metrics),
  };
}

/** The Prometheus text of everything the broker counts. */
export async function metricsResponse(metrics: BrokerMetrics): Promise<Response> {
  return new Response(await metrics.registry.metrics(), { headers: { "content-type": metrics.registry.contentType } });
}

const STATE: Operation = { summary: "Read the state", responses: { 200: { description: "The state." } } };
const STREAM: Operation = {
  summary: "Follow the state",
  responses: { 200: { description: "The state as events: one at once, then every 2 s." } },
};
const METRICS: Operation = { summary: "Read the metrics", responses: { 200: { description: "Prometheus' text." } } };
