// The routes of the jobs queue, as they are declared; routes.ts answers them.
import type { Call as HttpCall, HttpMethod, Operation, Route } from "../../modules/route.ts";
import { peerOf } from "../proxy/pipeline.ts";
import * as operations from "./operations.ts";
import type { Call, JobRoutes } from "./routes.ts";

export function jobRoutes(jobs: JobRoutes): Route[] {
  const route = (
    method: HttpMethod,
    path: string,
    auth: "api" | "client",
    operation: Operation,
    answer: (call: Call) => Promise<Response>,
  ): Route => ({
    method,
    path: `/api/jobs${path}`,
    tag: "jobs",
    auth,
    ownCheck: true,
    errors: "plain",
    operation,
    answer: call => answer(jobCall(call)),
  });
  return [
    route("POST", "", "api", operations.CREATE, call => jobs.create(call)),
    route("GET", "", "api", operations.LIST, call => jobs.list(call)),
    route("POST", "/claim", "client", operations.CLAIM, call => jobs.claim(call)),
    route("GET", "/stream", "client", operations.STREAM, call => jobs.stream(call)),
    route("GET", "/:id", "api", operations.GET, call => jobs.get(call)),
    route("GET", "/:id/events", "api", operations.EVENTS, call => jobs.events(call)),
    route("POST", "/:id/cancel", "api", operations.CANCEL, call => jobs.cancel(call)),
    route("POST", "/:id/payload", "client", operations.PAYLOAD, call => jobs.payload(call)),
    route("POST", "/:id/result", "client", operations.RESULT, call => jobs.result(call)),
    route("POST", "/:id/status", "client", operations.STATUS, call => jobs.status(call)),
    route("POST", "/:id/heartbeat", "client", operations.HEARTBEAT, call => jobs.heartbeat(call)),
  ];
}

function jobCall({ request, server, params, access }: HttpCall): Call {
  return {
    request,
    access,
    peer: () => peerOf(request, server),
    patience: () => server.timeout(request, 0),
    id: params["id"] ?? "",
  };
}
