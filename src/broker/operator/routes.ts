// The routes of operator actions.
import { z } from "zod";
import type { Operation, Route } from "../../modules/route.ts";
import { workerStates } from "../../modules/state.ts";
import { ADMIN_BASE } from "../http/mount.ts";
import { OPERATOR_ACTIONS, type Operator, type OperatorAction } from "./operator.ts";

export function operatorRoutes(operator: Operator): Route[] {
  return OPERATOR_ACTIONS.map(action => ({
    method: "POST",
    path: `${ADMIN_BASE}:module/workers/:id/${action}`,
    tag: "admin",
    scopes: ["admin"],
    errors: "openai",
    operation: operationOf(action),
    answer: ({ principal, params }) =>
      Response.json(operator.act(principal, params["module"] ?? "", params["id"] ?? "", action)),
  }));
}

const SAID: Readonly<Record<OperatorAction, Pick<Operation, "summary" | "description">>> = {
  drain: {
    summary: "Drain a worker",
    description:
      "The worker gets no new requests; running ones continue. It stays drained until `undrain`, even if it reports otherwise or reconnects under its ID.",
  },
  undrain: { summary: "Undrain a worker", description: "Reverts `drain`, also for a worker that is not connected." },
  disconnect: {
    summary: "Disconnect a worker",
    description:
      "Running requests are retried on another worker if that is safe, and fail otherwise. An agent with RECONNECT connects again.",
  },
};

function operationOf(action: OperatorAction): Operation {
  return {
    ...SAID[action],
    parameters: [
      { name: "module", in: "path", description: "A worker module, or `mcp` for relays.", example: "llm" },
      {
        name: "id",
        in: "path",
        description: "`workers[].id` in the module's state or, for relays, `clients[].worker_id`.",
        example: "office-gpu-1",
      },
    ],
    responses: {
      200: {
        description: "The worker after the action.",
        content: [
          {
            type: "application/json",
            schema: z.object({ id: z.string(), status: workerStates }),
            example: {
              id: "office-gpu-1",
              status: action === "drain" ? "draining" : action === "undrain" ? "idle" : "gone",
            },
          },
        ],
      },
    },
    failures: ["not_found"],
  };
}
