// The routes of a worker module, out of its descriptor.
import type { PublicEndpoint, WorkerModule } from "../../modules/module.ts";
import type { Operation, Route } from "../../modules/route.ts";
import { findModel, listModels } from "../models.ts";
import type { WorkerDoor } from "../pool/connect.ts";
import type { Pool } from "../pool/pool.ts";
import { connectRoute, type Upgrader } from "../pool/upgrade.ts";
import type { Pipeline } from "./pipeline.ts";

/** A worker module as it runs in a broker. */
export interface Mounted {
  module: WorkerModule;
  pool: Pool;
  pipeline: Pipeline;
  door: WorkerDoor;
}

/** Its agents' door, its endpoints for any worker and for a named one, and its models where it lists them. */
export function workerRoutes(mounted: Mounted, server: () => Upgrader): Route[] {
  const { module, door } = mounted;
  return [
    connectRoute(module.id, door, server),
    ...module.endpoints.flatMap(endpoint => [
      endpointRoute(mounted, endpoint, "", endpoint.operation),
      endpointRoute(mounted, endpoint, PINNED, pinned(endpoint.operation)),
    ]),
    ...(module.listsModels ? modelRoutes(mounted) : []),
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
    path: `/api/${module.id}${prefix}${endpoint.path}`,
    tag: module.id,
    auth: "api",
    ownCheck: true,
    errors: module.errors,
    operation,
    answer: call => pipeline.handle(call, endpoint),
  };
}

/** The same of one worker. */
function pinned(operation: Operation): Operation {
  const worker = { name: "worker", in: "path", description: "The id of a connected worker." } as const;
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
    tag: module.id,
    auth: "api",
    errors: "openai",
    operation,
    answer,
  });
  const list: Operation = {
    summary: "List the models",
    responses: { 200: { description: "The models that connected workers serve." } },
  };
  const one: Operation = { summary: "Get a model", responses: { 200: { description: "The model." } } };
  return [
    route("/v1/models", list, () => Response.json(listModels(pool))),
    route("/v1/models/*model", one, ({ params }) => Response.json(findModel(pool, params["model"] ?? ""))),
    route(`${PINNED}/v1/models`, pinned(list), ({ params }) => Response.json(listModels(pool, params.worker ?? ""))),
    route(`${PINNED}/v1/models/*model`, pinned(one), ({ params }) =>
      Response.json(findModel(pool, params["model"] ?? "", params.worker ?? "")),
    ),
  ];
}
