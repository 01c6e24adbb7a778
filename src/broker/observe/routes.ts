// Routes for operators' tools.
import { z } from "zod";
import type { Operation, Route } from "../../modules/route.ts";
import { moduleState, relaysState, serverState } from "../../modules/state.ts";
import { TICKET } from "../http/access/ticket-routes.ts";
import type { BrokerMetrics } from "./metrics.ts";
import type { StateStreams } from "./state-streams.ts";

export function stateRoutes(state: StateStreams): Route[] {
  const route = (path: string, operation: Operation, answer: Route["answer"]): Route => ({
    method: "GET",
    path,
    tag: "state",
    scopes: STATE_SCOPES,
    errors: "openai",
    operation,
    answer,
  });
  return [
    route("/api/state", STATE, async ({ principal }) => {
      const text = await state.read(principal.holds("admin"));
      return new Response(text, { headers: { "content-type": "application/json" } });
    }),
    route("/api/state/stream", STREAM, ({ request, server, principal, access }) => {
      server.timeout(request, 0);
      const stream = state.stream(principal.holds("admin"));
      return stream.open(request.signal, access, principal.caller);
    }),
  ];
}

const STATE_SCOPES = ["state", "admin"] as const;

/** `open`: without a key. */
export function metricsRoute(metrics: BrokerMetrics, open: boolean): Route {
  return {
    method: "GET",
    path: "/metrics",
    tag: "state",
    scopes: open ? ["public"] : STATE_SCOPES,
    errors: "openai",
    operation: METRICS,
    answer: () => metrics.response(),
  };
}

const jobs = z
  .looseObject({
    summary: z.looseObject({}),
    workers: z.array(z.looseObject({})),
    jobs: z
      .array(z.looseObject({}))
      .describe(
        "The newest jobs, with the first 8 characters of their IDs. Operators get full IDs, metadata and progress.",
      ),
  })
  .describe("The jobs queue.");
const envelope = z
  .object({
    plugins: z
      .object({ server: serverState, mcp: relaysState.optional(), jobs })
      .catchall(moduleState)
      .describe("The parts of the broker by name; worker modules under their IDs."),
  })
  .meta({ id: "State", description: "State of the broker, its workers, models, relays and jobs." });

const EXAMPLE = {
  plugins: {
    server: {
      now: "2026-01-01T12:00:00.000Z",
      version: "0.1.0",
      build_sha: "0123abc",
      build_date: "2026-01-01T00:00:00Z",
      node_id: "9f3c1a2b",
      status: "ready",
      uptime_s: 3600,
      drainable_inflight: 2,
      admin: false,
      listeners: 1,
      views: [],
    },
    jobs: { summary: { queued_jobs: 0 }, workers: [], jobs: [] },
  },
};

const STATE: Operation = {
  summary: "Read the state",
  responses: {
    200: { description: "The state.", content: [{ type: "application/json", schema: envelope, example: EXAMPLE }] },
  },
};
const STREAM: Operation = {
  summary: "Stream the state",
  parameters: [TICKET],
  description: "One event immediately, then one every two seconds.",
  responses: {
    200: {
      description: "The state as events.",
      content: [{ type: "text/event-stream", schema: z.string(), example: `data: ${JSON.stringify(EXAMPLE)}\n\n` }],
    },
    503: {
      description: "Too many open state streams.",
      headers: { "Retry-After": "Seconds to wait before retrying." },
      content: [{ type: "text/plain", schema: z.string(), example: "too many open state streams" }],
    },
  },
};
const METRICS: Operation = {
  summary: "Read the metrics",
  description:
    "Not on this address if `METRICS_PORT` is set; that address requires no key. `METRICS_OPEN=true` removes the key requirement here.",
  responses: {
    200: {
      description: "Metrics in Prometheus text format.",
      content: [{ type: "text/plain", schema: z.string(), example: "nfrx_drainable_inflight 2\n" }],
    },
  },
};
