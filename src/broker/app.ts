// The map: every route of the broker.
import { type AnyElysia, Elysia } from "elysia";
import { NfrxError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { RESOURCE_METADATA_PATH } from "../lib/well-known.ts";
import type { WorkerModule } from "../modules/module.ts";
import { SUBPROTOCOL } from "../protocol/limits.ts";
import type { Door } from "./auth.ts";
import type { Call, JobRoutes } from "./jobs/routes.ts";
import { findModel, listModels } from "./models.ts";
import dashboard from "./observe/dashboard/index.html" with { type: "text" };
import type { BrokerMetrics } from "./observe/metrics.ts";
import { readState, type StateSources, serverStatus } from "./observe/state.ts";
import type { StateStream } from "./observe/stream.ts";
import { type Connection, offers, type WorkerDoor } from "./pool/connect.ts";
import type { Pool } from "./pool/pool.ts";
import { errorResponse } from "./proxy/errors.ts";
import { type PathParams, type Pipeline, peerOf } from "./proxy/pipeline.ts";
import type { Relays } from "./relay/relays.ts";
import { mountTransfers } from "./transfer/routes.ts";
import type { Transfers } from "./transfer/transfers.ts";

export type BrokerServer = Bun.Server<Connection>;

/** A worker module as it runs in a broker. */
export interface Mounted {
  module: WorkerModule;
  pool: Pool;
  pipeline: Pipeline;
  door: WorkerDoor;
}

export interface AppOptions {
  mounted: readonly Mounted[];
  relays: Relays | undefined;
  jobs: JobRoutes;
  transfers: Transfers;
  api: Door;
  metrics: BrokerMetrics;
  sources: StateSources;
  stateStream: StateStream;
  /** False when /metrics has a listener of its own. */
  publicMetrics: boolean;
  log: Logger;
  /** The server a request arrived at. */
  server: () => BrokerServer;
}

/** Every public route, as a function from request to response. */
export function buildApp(options: AppOptions): (request: Request) => Response | Promise<Response> {
  const { api, metrics, sources, stateStream, server, log } = options;
  const guard = (request: Request): void => api.check(request.headers, () => peerOf(request, server()));
  const app = new Elysia({ aot: true, normalize: false })
    .onError(({ error, code, request }) => {
      if (code === "NOT_FOUND")
        return errorResponse(new NfrxError("not_found", `no route ${new URL(request.url).pathname}`), "openai");
      if (error instanceof NfrxError) return errorResponse(error, "openai");
      metrics.unhandled();
      log.error({ path: new URL(request.url).pathname, cause: String(error) }, "request failed");
      return errorResponse(error, "openai");
    })
    .get("/healthz", () => health(sources))
    .get("/readyz", () => readiness(sources))
    .get("/state", () => new Response(DASHBOARD, { headers: DASHBOARD_HEADERS }))
    .get("/api/state", async ({ request }) => {
      guard(request);
      return Response.json(await readState(sources));
    })
    .get("/api/state/stream", ({ request }) => {
      guard(request);
      server().timeout(request, 0);
      return stateStream.open();
    });
  if (options.publicMetrics) app.get("/metrics", () => metricsResponse(metrics));
  for (const mounted of options.mounted) mount(app, mounted, server);
  if (options.relays !== undefined) mountRelays(app, options.relays, server);
  mountJobs(app, options.jobs, server);
  mountTransfers(app, options.transfers, server);
  app.compile();
  return request => app.fetch(withLongHost(request));
}

/** Elysia looks for the path behind the first eleven characters of a URL and would find no route at http://ai/healthz. */
function withLongHost(request: Request): Request {
  const path = request.url.indexOf("/", 8);
  if (path < 0 || path >= 11) return request;
  return Object.defineProperty(request, "url", { value: `http://localhost${request.url.slice(path)}` });
}

function mount(app: AnyElysia, { module, pool, pipeline, door }: Mounted, server: () => BrokerServer): void {
  const base = `/api/${module.id}`;
  app.get(`${base}/connect`, ({ request }) => upgrade(request, door, server()));
  for (const endpoint of module.endpoints) {
    for (const path of [base + endpoint.path, `${base}/id/:worker${endpoint.path}`]) {
      app.route(endpoint.method, path, ({ request, params }) => pipeline.handle(request, server(), endpoint, params), {
        parse: "none",
      });
    }
  }
  if (!module.listsModels) return;
  const answer = (request: Request, read: () => object): Response => {
    pipeline.authorize(request, server());
    return Response.json(read());
  };
  app.get(`${base}/v1/models`, ({ request }) => answer(request, () => listModels(pool)));
  app.get(`${base}/v1/models/*`, ({ request, params }) => answer(request, () => findModel(pool, decodeRest(params))));
  app.get(`${base}/id/:worker/v1/models`, ({ request, params }) =>
    answer(request, () => listModels(pool, params.worker ?? "")),
  );
  app.get(`${base}/id/:worker/v1/models/*`, ({ request, params }) =>
    answer(request, () => findModel(pool, decodeRest(params), params.worker ?? "")),
  );
}

function mountRelays(app: AnyElysia, { relay, door }: Relays, server: () => BrokerServer): void {
  app.get("/api/mcp/connect", ({ request }) => upgrade(request, door, server()));
  for (const method of ["GET", "POST", "DELETE", "OPTIONS"]) {
    for (const path of ["/api/mcp/id/:id", "/api/mcp/id/:id/*"]) {
      app.route(method, path, ({ request, params }) => relay.handle(request, server(), params), { parse: "none" });
    }
  }
  app.get(`${RESOURCE_METADATA_PATH}/api/mcp/id/:id`, ({ request, params }) =>
    relay.metadata(request, server(), params),
  );
}

function mountJobs(app: AnyElysia, jobs: JobRoutes, server: () => BrokerServer): void {
  const at = (method: string, path: string, answer: (call: Call) => Promise<Response>): void => {
    app.route(
      method,
      `/api/jobs${path}`,
      ({ request, params }) => {
        const peer = (): string => peerOf(request, server());
        const patience = (): void => server().timeout(request, 0);
        // A path without names has no params.
        return answer({ request, peer, patience, id: params?.["id"] ?? "" });
      },
      { parse: "none" },
    );
  };
  at("POST", "", call => jobs.create(call));
  at("GET", "", call => jobs.list(call));
  at("POST", "/claim", call => jobs.claim(call));
  at("GET", "/stream", call => jobs.stream(call));
  at("GET", "/:id", call => jobs.get(call));
  at("GET", "/:id/events", call => jobs.events(call));
  at("POST", "/:id/cancel", call => jobs.cancel(call));
  at("POST", "/:id/payload", call => jobs.payload(call));
  at("POST", "/:id/result", call => jobs.result(call));
  at("POST", "/:id/status", call => jobs.status(call));
  at("POST", "/:id/heartbeat", call => jobs.heartbeat(call));
}

function upgrade(request: Request, door: WorkerDoor, server: BrokerServer): Response | undefined {
  const verdict = door.receive(request, peerOf(request, server));
  if (verdict instanceof Response) return verdict;
  const headers = offers(request) ? { "sec-websocket-protocol": SUBPROTOCOL } : {};
  if (server.upgrade(request, { data: verdict, headers })) return undefined;
  return new Response("the WebSocket handshake is not sound", { status: 400 });
}

/** The rest of a path as it was meant; a malformed escape is taken as it is. Named segments Elysia decodes itself. */
function decodeRest(params: PathParams): string {
  const rest = params["*"] ?? "";
  try {
    return decodeURIComponent(rest);
  } catch {
    return rest;
  }
}

function health(sources: StateSources): Response {
  const { drain, pools, relays } = sources;
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

/** The Prometheus text of everything the broker counts. */
export async function metricsResponse(metrics: BrokerMetrics): Promise<Response> {
  return new Response(await metrics.registry.metrics(), { headers: { "content-type": metrics.registry.contentType } });
}

// Bun's types know .html only as a bundle; imported as text it is a string.
const DASHBOARD = String(dashboard);

const DASHBOARD_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy":
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};
