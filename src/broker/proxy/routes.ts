// The routes of a worker module, out of its descriptor.
import type { ErrorCode } from "../../lib/errors.ts";
import type { PublicEndpoint, WorkerModule } from "../../modules/module.ts";
import type { Operation, Reply, Route } from "../../modules/route.ts";
import { findModel, listModels, modelList, modelObject } from "../models.ts";
import type { WorkerDoor } from "../pool/connect.ts";
import type { Pool } from "../pool/pool.ts";
import { connectRoute, type Upgrader } from "../pool/upgrade.ts";
import { keepsOf } from "./kept.ts";
import type { Pipeline } from "./pipeline.ts";

/** A worker module as it runs in a broker. */
export interface Mounted {
  module: WorkerModule;
  pool: Pool;
  pipeline: Pipeline;
  door: WorkerDoor;
}

/** Its endpoints for any worker and for a named one, its models where it lists them, and its agents' door. */
export function workerRoutes(mounted: Mounted, server: () => Upgrader): Route[] {
  const { module, door } = mounted;
  return [
    ...module.endpoints.flatMap(endpoint => [
      ...(module.reach === "id" ? [] : [endpointRoute(mounted, endpoint, "", endpoint.operation)]),
      endpointRoute(mounted, endpoint, PINNED, pinned(endpoint.operation)),
    ]),
    ...(module.listsModels ? modelRoutes(mounted) : []),
    connectRoute(module.id, door, server),
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
    auth: "api",
    ownCheck: true,
    errors: endpoint.errors ?? module.errors,
    operation: {
      ...operation,
      otherwise: BACKEND,
      failures: [...(operation.failures ?? []), ...failuresOf(endpoint, prefix !== "")],
    },
    answer: call => pipeline.handle(call, endpoint),
  };
}

/** What the broker does not answer itself. */
const BACKEND: Reply = { description: "Any other status is the backend's own, as are its headers and its body." };

/** What can go wrong on the way of a request to its worker. */
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
    description: "The id of a connected worker, as the state shows it.",
  } as const;
  return {
    ...operation,
    summary: `${operation.summary}, with one worker`,
    parameters: [worker, ...(operation.parameters ?? [])],
  };
}

function modelRoutes({ module, pool }: Mounted): Route[] {
  const route = (path: string, operation: Operation, answer: Route["answer"]): Route => ({
    method: "GET",
    path: `/api/${module.id}${path}`,
    ...(path.endsWith("/models") && { orSlash: true }),
    tag: module.id,
    auth: "api",
    errors: "openai",
    operation,
    answer,
  });
  const ofWorker = (operation: Operation): Operation => ({
    ...pinned(operation),
    failures: [...(operation.failures ?? []), "no_worker"],
  });
  return [
    route("/v1/models", LIST, () => Response.json(listModels(pool))),
    route("/v1/models/*model", ONE, ({ params }) => Response.json(findModel(pool, params["model"] ?? ""))),
    route(`${PINNED}/v1/models`, ofWorker(LIST), ({ params }) => Response.json(listModels(pool, params.worker ?? ""))),
    route(`${PINNED}/v1/models/*model`, ofWorker(ONE), ({ params }) =>
      Response.json(findModel(pool, params["model"] ?? "", params.worker ?? "")),
    ),
  ];
}

const EXAMPLE = { id: "demo-echo", object: "model", created: 1735689600, owned_by: "workstation" } as const;

const LIST: Operation = {
  summary: "List the models",
  responses: {
    200: {
      description: "The models that connected workers serve.",
      content: [{ type: "application/json", schema: modelList, example: { object: "list", data: [EXAMPLE] } }],
    },
  },
};
const ONE: Operation = {
  summary: "Get a model",
  parameters: [
    {
      name: "model",
      in: "path",
      description: "The model's id; slashes and colons may stand in it as they are.",
      example: EXAMPLE.id,
    },
  ],
  responses: {
    200: {
      description: "The model.",
      content: [{ type: "application/json", schema: modelObject, example: EXAMPLE }],
    },
  },
  failures: ["model_not_found", "no_worker"],
};
