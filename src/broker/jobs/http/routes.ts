// The routes of the jobs queue, as they are declared; for-clients.ts and for-workers.ts answer them.

import type { NfrxError } from "../../../lib/errors.ts";
import type { HttpMethod, Operation, Route } from "../../../modules/route.ts";
import type { Jobs } from "../jobs.ts";
import * as operations from "./operations.ts";

type Access = Pick<Route, "scopes" | "drain">;

const CALLER: Access = { scopes: ["jobs"] };
const WORKER: Access = { scopes: ["client"] };
/** Units of work that a shutdown waits for. */
const COUNTED = { drain: "join" } as const;

/** The API has one code for a missing and an unknown state. */
const errorBody = ({ code, message }: NfrxError): object => ({
  error: code === "unknown_state" ? "invalid_state" : code,
  message,
});

export function jobRoutes({ clients, workers }: Jobs): Route[] {
  const route = (
    method: HttpMethod,
    path: string,
    access: Access,
    operation: Operation,
    answer: Route["answer"],
  ): Route => ({
    method,
    path: `/api/jobs${path}`,
    tag: "jobs",
    ...access,
    takesUpload: true,
    errors: "plain",
    errorBody,
    operation,
    answer,
  });
  const counted = { ...WORKER, ...COUNTED };
  return [
    route("POST", "", { ...CALLER, drain: "enter" }, operations.CREATE, call => clients.create(call)),
    route("GET", "", CALLER, operations.LIST, call => clients.list(call)),
    route("POST", "/claim", { ...WORKER, drain: "refuse" }, operations.CLAIM, call => workers.claim(call)),
    route("GET", "/stream", { ...WORKER, drain: "refuse" }, operations.STREAM, call => workers.stream(call)),
    route("GET", "/:id", CALLER, operations.GET, call => clients.get(call)),
    route("GET", "/:id/events", CALLER, operations.EVENTS, call => clients.events(call)),
    route("POST", "/:id/cancel", { ...CALLER, ...COUNTED }, operations.CANCEL, call => clients.cancel(call)),
    route("POST", "/:id/payload", counted, operations.PAYLOAD, call => workers.payload(call)),
    route("POST", "/:id/result", counted, operations.RESULT, call => workers.result(call)),
    route("POST", "/:id/status", counted, operations.STATUS, call => workers.status(call)),
    route("POST", "/:id/heartbeat", counted, operations.HEARTBEAT, call => workers.heartbeat(call)),
  ];
}
