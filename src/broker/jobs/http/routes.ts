// The routes of the jobs queue, as they are declared; for-clients.ts and for-workers.ts answer them.
import type { HttpMethod, Operation, Route, RouteCall } from "../../../modules/route.ts";
import { peerOf } from "../../proxy/pipeline.ts";
import type { Jobs } from "../jobs.ts";
import type { JobCall } from "./jobs-http.ts";
import * as operations from "./operations.ts";

export function jobRoutes({ clients, workers }: Jobs): Route[] {
  const route = (
    method: HttpMethod,
    path: string,
    auth: "api" | "client",
    operation: Operation,
    answer: (call: JobCall) => Promise<Response>,
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
    route("POST", "", "api", operations.CREATE, call => clients.create(call)),
    route("GET", "", "api", operations.LIST, call => clients.list(call)),
    route("POST", "/claim", "client", operations.CLAIM, call => workers.claim(call)),
    route("GET", "/stream", "client", operations.STREAM, call => workers.stream(call)),
    route("GET", "/:id", "api", operations.GET, call => clients.get(call)),
    route("GET", "/:id/events", "api", operations.EVENTS, call => clients.events(call)),
    route("POST", "/:id/cancel", "api", operations.CANCEL, call => clients.cancel(call)),
    route("POST", "/:id/payload", "client", operations.PAYLOAD, call => workers.payload(call)),
    route("POST", "/:id/result", "client", operations.RESULT, call => workers.result(call)),
    route("POST", "/:id/status", "client", operations.STATUS, call => workers.status(call)),
    route("POST", "/:id/heartbeat", "client", operations.HEARTBEAT, call => workers.heartbeat(call)),
  ];
}

function jobCall({ request, server, params, access }: RouteCall): JobCall {
  return {
    request,
    access,
    peer: () => peerOf(request, server),
    disableIdleTimeout: () => server.timeout(request, 0),
    id: params["id"] ?? "",
  };
}
