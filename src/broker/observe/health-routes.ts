// Health checks.
import { z } from "zod";
import type { Operation, Route } from "../../modules/route.ts";
import { readinessOf, type ServedModule, type StateSources, serverStatus } from "./state.ts";

export function healthRoutes(sources: StateSources): Route[] {
  const route = (path: string, operation: Operation, answer: Route["answer"]): Route => ({
    method: "GET",
    path,
    tag: "health",
    scopes: ["public"],
    errors: "openai",
    operation,
    answer,
  });
  return [route("/healthz", HEALTH, () => health(sources)), route("/readyz", READY, () => readiness(sources))];
}

function health({ drain, pools, relays }: StateSources): Response {
  // A broker with only the relay module is unavailable while no relay is connected.
  const alone = pools.length === 0 && relays !== undefined && relays.pool.directory.size === 0;
  return drain.draining || alone
    ? Response.json({ status: "unavailable" }, { status: 503 })
    : Response.json({ status: "ok" });
}

function readiness(sources: StateSources): Response {
  const status = serverStatus(sources);
  const modules = Object.fromEntries(sources.modules.flatMap(module => readinessIn(module, sources)));
  const reason = {
    ready: "a worker can serve",
    not_ready: [...new Set(Object.values(modules).map(module => module.reason))].join("; ") || "no modules",
    draining: "the broker is draining",
  }[status];
  return Response.json({ status, reason, modules }, { status: status === "ready" ? 200 : 503 });
}

/** A module that has workers or relays, by its id. */
function readinessIn(
  { configured: { id }, served }: ServedModule,
  { pools, relays }: StateSources,
): [string, ReturnType<typeof readinessOf>][] {
  const pool = served.relays === undefined ? pools.find(({ moduleId }) => moduleId === id) : relays?.pool;
  return pool === undefined ? [] : [[id, readinessOf(pool.directory)]];
}

const status = (words: readonly [string, ...string[]]) => z.object({ status: z.enum(words) });
const ready = (words: readonly [string, ...string[]]) =>
  status(words).extend({
    reason: z.string(),
    modules: z.record(z.string(), z.object({ ready: z.boolean(), reason: z.string() })),
  });

const HEALTH: Operation = {
  summary: "Check whether the broker serves",
  responses: {
    200: {
      description: "It serves.",
      content: [{ type: "application/json", schema: status(["ok"]), example: { status: "ok" } }],
    },
    503: {
      description: "It is draining, or it serves only relays and none is connected.",
      content: [{ type: "application/json", schema: status(["unavailable"]), example: { status: "unavailable" } }],
    },
  },
};
const READY: Operation = {
  summary: "Check whether any module can serve, with the reason if not",
  description:
    "The broker is ready if it is not draining and any module has a worker that reaches its backend. `modules` has the status of each module.",
  responses: {
    200: {
      description: "A worker can serve.",
      content: [
        {
          type: "application/json",
          schema: ready(["ready"]),
          example: {
            status: "ready",
            reason: "a worker can serve",
            modules: {
              llm: { ready: true, reason: "2 of 2 connected workers can serve" },
              asr: { ready: false, reason: "no worker is connected" },
            },
          },
        },
      ],
    },
    503: {
      description: "No worker can serve, or the broker is draining.",
      content: [
        {
          type: "application/json",
          schema: ready(["not_ready", "draining"]),
          example: {
            status: "not_ready",
            reason: "no worker is connected",
            modules: { llm: { ready: false, reason: "no worker is connected" } },
          },
        },
      ],
    },
  },
};
