// Routes on Elysia, the one place that knows it.
import { type AnyElysia, Elysia } from "elysia";
import { NfrxError } from "../../lib/errors.ts";
import type { AuthClass, HttpMethod, PathParams, PeerServer, Route } from "../../modules/route.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";
import { type AccessLog, AccessRoute } from "./access-log.ts";
import type { Check } from "./checks.ts";
import { NearestRoute } from "./nearest-route.ts";
import { servedPath, servedPaths } from "./served-paths.ts";
import { failed, withAccessLog } from "./with-access-log.ts";

export interface MountOptions {
  readonly checks: Readonly<Record<AuthClass, Check | undefined>>;
  /** Refuses foreign web pages; undefined while a key is asked for everywhere, which no page has. */
  readonly guard?: ((headers: Headers) => void) | undefined;
  /** The server that requests arrive at. */
  readonly server: () => PeerServer;
  readonly access: AccessLog;
  readonly metrics: Pick<BrokerMetrics, "refused" | "unhandled">;
}

/** The routes as they are served. */
export interface App {
  fetch(request: Request): Response | Promise<Response>;
  /** Method and path of every route that the framework has, in its own words. */
  readonly table: readonly { method: string; path: string }[];
}

/** Serves the routes. Throws when two of them have the same method and path. */
export function mount(routes: readonly Route[], options: MountOptions): App {
  const { access, metrics } = options;
  const nearest = new NearestRoute(routes);
  // What handlers throw does not come here.
  const app = new Elysia({ aot: true, normalize: false, strictPath: true }).onError(({ error, code, request }) => {
    const thrown =
      code === "NOT_FOUND" ? new NfrxError("not_found", noRoute(request, nearest), { foreign: true }) : error;
    return failed(access.begin(request, UNMATCHED_ROUTE), thrown, { metrics, errors: "openai" });
  });
  const taken = new Set<string>();
  for (const route of routes) {
    const place = `${route.method} ${servedPath(route.path)}`;
    if (taken.has(place)) throw new Error(`duplicate route ${place}`);
    taken.add(place);
    add(app, route, options);
  }
  app.compile();
  return {
    fetch: request => app.fetch(withLongHost(request)),
    table: app.routes.map(({ method, path }) => ({ method, path })),
  };
}

function noRoute({ method, url }: Request, nearest: NearestRoute): string {
  const { pathname } = new URL(url);
  const meant = nearest.of(method, pathname);
  return meant === undefined ? `no route ${pathname}` : `no route ${pathname}; did you mean ${meant}?`;
}

/** Where requests are that no route is for. */
export const UNMATCHED_ROUTE = new AccessRoute("-", "-");

/** Elysia reads the source of a handler to see what it needs: the handler names it, and hands it on. */
function add(app: AnyElysia, route: Route, { checks, guard, server, access: log, metrics }: MountOptions): void {
  const { method, path } = route;
  const check = route.ownCheck ? undefined : checks[route.auth];
  // Operators' routes always want a key, and their page may have an address that the guard does not know.
  const guarded = route.auth === "admin" ? undefined : guard;
  const rest = /\*(\w+)$/.exec(path)?.[1];
  // A path without names has no params, whatever Elysia's types say.
  const paramsOf = (params: PathParams | undefined): PathParams =>
    params === undefined ? NONE : rest === undefined ? params : { ...params, [rest]: decoded(params["*"] ?? "") };
  const failing = { metrics, errors: route.errors };
  const place = new AccessRoute(method, path);
  const answer = (request: Request, params: PathParams | undefined) => {
    const access = log.begin(request, place);
    const run = () => {
      const at = server();
      guarded?.(request.headers);
      check?.(request, at);
      return route.answer({ request, params: paramsOf(params), server: at, access });
    };
    return withAccessLog(access, run, failing);
  };
  for (const served of servedPaths(route))
    app.route(method satisfies HttpMethod, served, ({ request, params }) => answer(request, params), {
      parse: "none",
    });
}

const NONE: PathParams = {};

/** The rest of a path as it was meant; a malformed escape is taken as it is. Named segments Elysia decodes itself. */
function decoded(rest: string): string {
  try {
    return decodeURIComponent(rest);
  } catch {
    return rest;
  }
}

/** Elysia looks for the path behind the first eleven characters of a URL and would find no route at http://ai/healthz. */
function withLongHost(request: Request): Request {
  const path = request.url.indexOf("/", 8);
  if (path < 0 || path >= 11) return request;
  return Object.defineProperty(request, "url", { value: `http://localhost${request.url.slice(path)}` });
}
