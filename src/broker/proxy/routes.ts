// The routes of a worker module, out of its descriptor.
import { z } from "zod";
import type { ErrorCode } from "../../lib/errors.ts";
import type { PublicEndpoint, WorkerModule } from "../../modules/module.ts";
import type { Operation, Reply, Route } from "../../modules/route.ts";
import { errorResponse } from "../http/error-response.ts";
import type { WebSocketServer } from "../http/web-socket.ts";
import type { AgentAcceptor } from "../pool/agent-acceptor.ts";
import { connectRoute } from "../pool/connect-route.ts";
import type { Pool } from "../pool/pool.ts";
import {
  anthropicListOf,
  anthropicModelOf,
  anthropicShapes,
  findModel,
  type Listing,
  listModels,
  modelList,
  modelObject,
} from "./models.ts";
import type { Pipeline } from "./pipeline.ts";
import { keepsOf } from "./routing/kept.ts";
import { NO_WEBSOCKET, type Watches } from "./watch/watches.ts";

/** A worker module as it runs in a broker. */
export interface Mounted {
  module: WorkerModule;
  pool: Pool;
  pipeline: Pipeline;
  acceptor: AgentAcceptor;
  /** The WebSockets that follow tasks, of all modules. */
  watches: Watches;
  /** Clients get the names of workers. */
  expose: boolean;
}

/** The module's endpoints for any worker and for a named one, its models if it lists them, and its agents' endpoint. */
export function workerRoutes(mounted: Mounted, server: () => WebSocketServer): Route[] {
  const { module, acceptor } = mounted;
  return [
    ...module.endpoints.flatMap(endpoint => [
      ...(module.reach === "id" ? [] : [endpointRoute(mounted, endpoint, "", endpoint.operation)]),
      endpointRoute(mounted, endpoint, PINNED, pinned(endpoint.operation)),
      ...watchRoutes(mounted, endpoint, server),
    ]),
    ...(module.listsModels ? modelRoutes(mounted) : []),
    connectRoute(module.id, acceptor, server),
  ];
}

const PINNED = "/id/:worker";

function endpointRoute(
  { module, pipeline }: Mounted,
  endpoint: PublicEndpoint,
  prefix: string,
  operation: Operation,
): Route {
  return {
    method: endpoint.method,
    path: `/api/${module.id}${prefix}${endpoint.path.replace(/\/\*$/, "/*rest")}`,
    tag: module.id,
    describe: access => {
      access.jobType = endpoint.jobType;
    },
    scopes: [module.id],
    foreign: true,
    drain: "enter",
    errors: endpoint.errors ?? module.errors,
    operation: {
      ...operation,
      otherwise: BACKEND,
      failures: [...(operation.failures ?? []), ...failuresOf(endpoint, prefix !== "")],
    },
    answer: call => pipeline.handle(call, endpoint),
  };
}

/** Its WebSocket, where it has one. */
function watchRoutes(mounted: Mounted, endpoint: PublicEndpoint, server: () => WebSocketServer): Route[] {
  const { module, pipeline, watches } = mounted;
  const { watch } = endpoint;
  if (watch === undefined) return [];
  const route = (prefix: string, operation: Operation): Route => {
    const { responses, ...rest } = endpointRoute(mounted, endpoint, prefix, operation).operation ?? operation;
    return {
      method: "GET",
      path: `/api/${module.id}${prefix}${watch.path}`,
      tag: module.id,
      scopes: [module.id],
      queryHeaders: watch.queryHeaders,
      foreign: true,
      drain: "refuse",
      errors: endpoint.errors ?? module.errors,
      operation: {
        ...rest,
        responses: { ...responses, ...NO_WEBSOCKET },
        failures: [...(rest.failures ?? []), "limit_exceeded"],
      },
      answer: call => watches.open(call, { pipeline, endpoint, watch, server: server() }),
    };
  };
  return [...(module.reach === "id" ? [] : [route("", watch.operation)]), route(PINNED, pinned(watch.operation))];
}

/** Responses that do not come from the broker. */
const BACKEND: Reply = { description: "Any other response is the backend's own, including headers and body." };

/** Possible errors between a request and its worker. */
function failuresOf(endpoint: PublicEndpoint, pinned: boolean): ErrorCode[] {
  const { label, method, gather } = endpoint;
  const keeps = keepsOf(endpoint);
  if (gather !== undefined && !pinned) return ["not_found", "draining", "upstream_error", "timeout"];
  return [
    ...(label === "none" ? [] : (["invalid_request", "unsupported_media_type", "no_worker"] as const)),
    ...(pinned && label === "none" ? (["no_worker"] as const) : []),
    ...(keeps?.segment === undefined ? [] : [keeps.segment.missing ?? ("not_found" as const)]),
    ...(keeps?.fields ?? []).map(({ missing = "not_found" }) => missing),
    ...(method === "GET" ? [] : (["too_large", "request_timeout"] as const)),
    "worker_busy",
    "overloaded",
    "draining",
    "upstream_error",
    "timeout",
  ];
}

/** The same of one worker. */
function pinned(operation: Operation): Operation {
  const worker = {
    name: "worker",
    in: "path",
    description: "ID of a connected worker, as in the state.",
  } as const;
  return {
    ...operation,
    summary: `${operation.summary} (on one worker)`,
    parameters: [worker, ...(operation.parameters ?? [])],
  };
}

function modelRoutes({ module, pool, expose }: Mounted): Route[] {
  const route = (prefix: string, path: string, operation: Operation, one: boolean): Route => ({
    method: "GET",
    path: `/api/${module.id}${prefix}${path}`,
    ...(!one && { orSlash: true }),
    tag: module.id,
    scopes: [module.id],
    errors: "openai",
    operation,
    answer: ({ request, params, access, principal: { key } }) => {
      const workerId = prefix === PINNED ? (params.worker ?? "") : undefined;
      const asked = { pool, expose, workerId, allows: key && ((model: string) => key.allowsModel(model)) };
      return modelsResponse(request, asked, { model: one ? (params["model"] ?? "") : undefined, requestId: access.id });
    },
  });
  const ofWorker = (operation: Operation): Operation => ({
    ...pinned(operation),
    failures: [...(operation.failures ?? []), "no_worker"],
  });
  return [
    ...["", ...(module.modelsBelow ?? [])].flatMap(prefix => [
      route(prefix, "/v1/models", LIST, false),
      route(prefix, "/v1/models/*model", ONE, true),
    ]),
    route(PINNED, "/v1/models", ofWorker(LIST), false),
    route(PINNED, "/v1/models/*model", ofWorker(ONE), true),
  ];
}

/** The list, or one model, in the shape of OpenAI's API or, for clients that say so, of Anthropic's. */
function modelsResponse(
  { headers }: Request,
  listing: Listing,
  { model, requestId }: { model: string | undefined; requestId: string },
): Response {
  const anthropic = headers.has("anthropic-version");
  try {
    if (model === undefined) {
      const list = listModels(listing);
      return Response.json(anthropic ? anthropicListOf(list) : list);
    }
    const found = findModel(listing, model);
    return Response.json(anthropic ? anthropicModelOf(found) : found);
  } catch (error) {
    if (!anthropic) throw error;
    return errorResponse(error, "anthropic", requestId);
  }
}

const EXAMPLE = {
  id: "demo-echo",
  object: "model",
  created: 1735689600,
  owned_by: "nfrx",
  context_length: 8192,
} as const;

const LIST: Operation = {
  summary: "List the models",
  responses: {
    200: {
      description: "The models of the connected workers.",
      content: [
        {
          type: "application/json",
          schema: z.union([modelList, anthropicShapes.list]),
          example: { object: "list", data: [EXAMPLE] },
        },
      ],
    },
  },
};
const ONE: Operation = {
  summary: "Get a model",
  parameters: [
    {
      name: "model",
      in: "path",
      description: "Model ID; slashes and colons need no encoding.",
      example: EXAMPLE.id,
    },
  ],
  responses: {
    200: {
      description: "The model.",
      content: [{ type: "application/json", schema: z.union([modelObject, anthropicShapes.one]), example: EXAMPLE }],
    },
  },
  failures: ["model_not_found", "no_worker"],
};
