// The routes of MCP relays.
import { RESOURCE_METADATA_PATH } from "../../lib/well-known.ts";
import type { Access, Operation, Parameter, PathParams, Route } from "../../modules/route.ts";
import type { WebSocketServer } from "../http/web-socket.ts";
import { connectRoute } from "../pool/connect-route.ts";
import { METADATA_OPERATION, RELAY_OPERATIONS } from "./operations.ts";
import type { Relays } from "./relays.ts";

/** The routes of the relays: calls, metadata, and the agents' endpoint. */
export function relayRoutes({ relay, admission, acceptor }: Relays, server: () => WebSocketServer): Route[] {
  const way = (method: keyof typeof RELAY_OPERATIONS, path: string, operation: Operation): Route => ({
    ...common,
    method,
    path,
    scopes: ["mcp"],
    requires: (_, params) => admission.requirementOf(params["id"] ?? ""),
    operation,
    answer: call => relay.handle(call, method),
  });
  return [
    ...METHODS.flatMap(method => [
      way(method, "/api/mcp/id/:id", RELAY_OPERATIONS[method]),
      way(method, "/api/mcp/id/:id/*rest", below(RELAY_OPERATIONS[method])),
    ]),
    {
      ...common,
      method: "GET",
      path: `${RESOURCE_METADATA_PATH}/api/mcp/id/:id`,
      scopes: ["public"],
      drain: "enter",
      operation: METADATA_OPERATION,
      answer: call => relay.metadata(call),
    },
    connectRoute("mcp", acceptor, server),
  ];
}

const common = {
  tag: "mcp",
  describe: (access: Access, params: PathParams): void => {
    access.relay = params["id"] ?? "";
  },
  originGuard: "always",
  foreign: true,
  errors: "json-rpc",
} as const;
const METHODS = ["GET", "POST", "DELETE", "OPTIONS"] as const;

/** The same at a path below the relay's own. */
function below(operation: Operation): Operation {
  const rest: Parameter = { name: "rest", in: "path", description: "Path below the provider's address." };
  return {
    ...operation,
    summary: `${operation.summary} (subpath)`,
    parameters: [...(operation.parameters ?? []), rest],
  };
}
