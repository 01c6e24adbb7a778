// The routes of operator actions.
import { z } from "zod";
import type { Operation, Route } from "../../modules/route.ts";
import { workerStates } from "../../modules/state.ts";
import { OPERATOR_ACTIONS, type Operator, type OperatorAction } from "./operator.ts";

const BASE = "/api/admin/";

/** True for a request to operate. */
export function isAdministration(request: Request): boolean {
  return new URL(request.url).pathname.startsWith(BASE);
}

export function operatorRoutes(operator: Operator): Route[] {
  return OPERATOR_ACTIONS.map(action => ({
    method: "POST",
    path: `${BASE}:module/workers/:id/${action}`,
    tag: "admin",
    auth: "admin",
    errors: "openai",
    operation: operationOf(action),
    answer: ({ request, params }) =>
      Response.json(operator.act(request.headers, params["module"] ?? "", params["id"] ?? "", action)),
  }));
}

const SAID: Readonly<Record<OperatorAction, Pick<Operation, "summary" | "description">>> = {
  drain: {
    summary: "Drain a worker",
    description:
      "It gets no new requests; what runs goes on. It stays drained, whatever it says itself, until `undrain`, also when it reconnects under its id.",
  },
  undrain: { summary: "Give a worker requests again", description: "Lifts `drain`, of a worker that is away, too." },
  disconnect: {
    summary: "Disconnect a worker",
    description:
      "What runs there is sent to another worker where that is safe and fails otherwise. An agent that reconnects comes back.",
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
        description: "`workers[].id` of the module's state or, for relays, `clients[].worker_id`.",
        example: "office-gpu-1",
      },
    ],
    responses: {
      200: {
        description: "The worker as it is now.",
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
