// Whether the broker can serve anybody, for whoever sends it requests.
import { z } from "zod";
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

const status = (words: readonly [string, ...string[]]) => z.object({ status: z.enum(words) });
const ready = (words: readonly [string, ...string[]]) => status(words).extend({ reason: z.string() });

const HEALTH: Operation = {
  summary: "Tell whether the broker serves",
  responses: {
    200: {
      description: "It does.",
      content: [{ type: "application/json", schema: status(["ok"]), example: { status: "ok" } }],
    },
    503: {
      description: "It is draining, or serves nothing but relays and has none.",
      content: [{ type: "application/json", schema: status(["unavailable"]), example: { status: "unavailable" } }],
    },
  },
};
const READY: Operation = {
  summary: "Tell whether any worker is there, and why not",
  responses: {
    200: {
      description: "One is.",
      content: [
        {
          type: "application/json",
          schema: ready(["ready"]),
          example: { status: "ready", reason: "a worker is connected" },
        },
      ],
    },
    503: {
      description: "None is, or the broker is draining.",
      content: [
        {
          type: "application/json",
          schema: ready(["not_ready", "draining"]),
          example: { status: "not_ready", reason: "no worker is connected" },
        },
      ],
    },
  },
};
