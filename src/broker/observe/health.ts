// Whether the broker can serve anybody, for whoever sends it requests.
import type { Operation, Route } from "../../modules/route.ts";
import { type StateSources, serverStatus } from "./state.ts";

export function healthRoutes(sources: StateSources): Route[] {
  const route = (path: string, operation: Operation, answer: Route["answer"]): Route => ({
    method: "GET",
    path,
    tag: "health",
    auth: "none",
    errors: "openai",
    operation,
    answer,
  });
  return [route("/healthz", HEALTH, () => health(sources)), route("/readyz", READY, () => readiness(sources))];
}

function health({ drain, pools, relays }: StateSources): Response {
  // One that serves nothing but relays serves nobody while there is none.
  const alone = pools.length === 0 && relays !== undefined && relays.pool.registry.size === 0;
  return drain.draining || alone
    ? Response.json({ status: "unavailable" }, { status: 503 })
    : Response.json({ status: "ok" });
}

function readiness(sources: StateSources): Response {
  const status = serverStatus(sources);
  const reason = {
    ready: "a worker is connected",
    not_ready: "no worker is connected",
    draining: "the broker is draining",
  }[status];
  return Response.json({ status, reason }, { status: status === "ready" ? 200 : 503 });
}

const HEALTH: Operation = {
  summary: "Tell whether the broker serves",
  responses: { 200: { description: "It does." }, 503: { description: "It serves nobody." } },
};
const READY: Operation = {
  summary: "Tell whether a worker is there, and why not",
  responses: { 200: { description: "One is." }, 503: { description: "None is, or the broker is draining." } },
};
