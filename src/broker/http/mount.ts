// Routes on Elysia, the one place that knows it, and the one way in: every request goes through these steps, in this order.
//
//   step          done here                                      declared by the route   when it fails
//   record        its id, its time and its span                  describe                -
//   guard         Origin and Host; no scripts out of responses   originGuard, foreign    forbidden
//   authenticate  one Principal, out of every way to bring a key scopes, requires        unauthorized, too_many_attempts, forbidden
//   principal     on the call and in the access log              -                       -
//   drain         refuse or count                                drain                   draining
//   handler       the route's own                                answer                  anything
//   error         counted, in the route's shape                  errors, countRefusal    -
//   end           the access log's line, the drain's count       Access.streams          -
import { type AnyElysia, Elysia } from "elysia";
import type { Drain } from "../../lib/drain.ts";
import { NfrxError } from "../../lib/errors.ts";
import type { OriginGuard } from "../../lib/origin-guard.ts";
import type { Clock } from "../../lib/time.ts";
import type { HttpMethod, PathParams, PeerServer, Requirement, Route } from "../../modules/route.ts";
import type { Authenticates } from "./access/authenticator.ts";
import type { Cors } from "./access/cors.ts";
import { withQueryHeaders } from "./access/query-headers.ts";
import { type AccessLog, type AccessRecord, AccessRoute } from "./access-log.ts";
import { refuseUpload } from "./body/refuse.ts";
import type { RefusalMetrics } from "./count-refusal.ts";
import { type Failing, failure, finished, sent } from "./end.ts";
import { NearestRoute } from "./nearest-route.ts";
import { withRateLimits } from "./rate-headers.ts";
import { refuseScript } from "./refuse-script.ts";
import { servedPath, servedPaths } from "./served-paths.ts";

export interface MountOptions {
  readonly authenticator: Authenticates;
  /** Keeps foreign web pages out. Where a key is needed everywhere, which no page has, most routes do without. */
  readonly guard: Pick<OriginGuard, "check">;
  readonly drain: Drain;
  /** The server that requests arrive at. */
  readonly server: () => PeerServer;
  readonly access: AccessLog;
  readonly metrics: RefusalMetrics;
  readonly clock: Clock;
  /** Lets pages of other origins in. */
  readonly cors?: Pick<Cors, "preflight" | "decorate"> | undefined;
}

/** The routes as they are served. */
export interface App {
  fetch(request: Request): Response | Promise<Response>;
  /** Method and path of every route that the framework has, in its own words. */
  readonly table: readonly { method: string; path: string }[];
}

/** Serves the routes. Throws when two of them have the same method and path, and when one declares no scope. */
export function mount(routes: readonly Route[], options: MountOptions): App {
  const { access, metrics, authenticator, server, cors } = options;
  const nearest = new NearestRoute(routes);
  const unmatched: Failing = { metrics, errors: "openai" };
  // Errors of handlers are handled earlier.
  const app = new Elysia({ aot: true, normalize: false, strictPath: true }).onError(({ error, code, request }) => {
    const thrown =
      code === "NOT_FOUND" ? new NfrxError("not_found", noRoute(request, nearest), { foreign: true }) : error;
    const record = access.begin(request, UNMATCHED_ROUTE);
    record.principal = authenticator.stranger({ request, server: server(), headers: request.headers });
    const failed = failure(record, thrown, unmatched);
    record.end(failed.error);
    return failed.response;
  });
  const taken = new Set<string>();
  for (const route of routes) {
    const place = `${route.method} ${servedPath(route.path)}`;
    if (taken.has(place)) throw new Error(`duplicate route ${place}`);
    if (!route.scopes?.length) throw new Error(`route ${place} declares no scope`);
    taken.add(place);
    add(app, route, options);
  }
  app.compile();
  const fetch = (request: Request): Response | Promise<Response> => app.fetch(withLongHost(request));
  return {
    fetch: request => {
      // Pages of other origins are let in by their own setting, but not to administration.
      if (cors === undefined || request.headers.get("origin") === null || isAdministration(request))
        return fetch(request);
      const preflight = cors.preflight(request);
      if (preflight !== undefined) {
        const record = access.begin(request, UNMATCHED_ROUTE);
        record.principal = authenticator.stranger({ request, server: server(), headers: request.headers });
        return sent(record, preflight);
      }
      return Promise.resolve(fetch(request)).then(response => response && cors.decorate(request, response));
    },
    table: app.routes.map(({ method, path }) => ({ method, path })),
  };
}

function noRoute({ method, url }: Request, nearest: NearestRoute): string {
  const { pathname } = new URL(url);
  const meant = nearest.of(method, pathname);
  return meant === undefined ? `no route ${pathname}` : `no route ${pathname}; did you mean ${meant}?`;
}

/** Below it are the operators' routes. */
export const ADMIN_BASE = "/api/admin/";

function isAdministration(request: Request): boolean {
  return new URL(request.url).pathname.startsWith(ADMIN_BASE);
}

/** Where requests are that no route is for. */
export const UNMATCHED_ROUTE = new AccessRoute("-", "-");

/** Elysia parses a handler's source to find the used fields: the handler names them and passes them on. */
function add(app: AnyElysia, route: Route, options: MountOptions): void {
  const { method, path, scopes, queryHeaders } = route;
  const { authenticator, server, access, drain, metrics, clock } = options;
  const guard = guardOf(route, options);
  const rest = /\*(\w+)$/.exec(path)?.[1];
  // A path without named segments has no params, contrary to Elysia's types.
  const paramsOf = (params: PathParams | undefined): PathParams =>
    params === undefined ? NONE : rest === undefined ? params : { ...params, [rest]: decoded(params["*"] ?? "") };
  const place = new AccessRoute(method, path, scopes, route.foreign ? route.tag : undefined);
  const wanted: Requirement = { scopes };
  const failing: Failing = {
    metrics,
    errors: route.errors,
    ...(route.errorBody && { errorBody: route.errorBody }),
    ...(route.countRefusal && { countRefusal: route.countRefusal }),
  };
  const fail = (request: Request, record: AccessRecord, thrown: unknown): Response => {
    record.principal ??= authenticator.stranger({ request, server: server(), headers: request.headers });
    const { response, error } = failure(record, thrown, failing);
    record.end(error);
    return route.takesUpload ? refuseUpload(response, request, clock) : response;
  };
  const answered = (request: Request, named: PathParams | undefined, record: AccessRecord) => {
    try {
      const at = server();
      const params = paramsOf(named);
      route.describe?.(record, params);
      guard?.check(request.headers);
      if (route.foreign) refuseScript(request.headers);
      const requirement = route.requires?.(request, params) ?? wanted;
      const headers = queryHeaders === undefined ? request.headers : withQueryHeaders(request, queryHeaders);
      const principal = authenticator.resolve({ request, server: at, headers }, requirement);
      record.principal = principal;
      if (principal.refusal !== undefined) throw principal.refusal;
      record.unhold = principal.key?.hold(record);
      record.leave = entered(drain, route.drain);
      const response = route.answer({ request, params, server: at, principal, access: record });
      if (!(response instanceof Promise)) return finished(record, response);
      return response.then(
        given => finished(record, given),
        (thrown: unknown) => fail(request, record, thrown),
      );
    } catch (thrown) {
      return fail(request, record, thrown);
    }
  };
  const answer = (request: Request, named: PathParams | undefined): ReturnType<Route["answer"]> => {
    const record = access.begin(request, place);
    const response = answered(request, named, record);
    const key = record.principal?.key;
    return key === undefined ? response : withRateLimits(key, response);
  };
  for (const served of servedPaths(route))
    app.route(method satisfies HttpMethod, served, ({ request, params }) => answer(request, params), {
      parse: "none",
    });
}

/**
 * The guard of a route against foreign pages. Operators' routes always need a key, and their page may have an address
 * that the guard does not know.
 */
function guardOf(
  { scopes, originGuard }: Route,
  { guard, authenticator }: MountOptions,
): Pick<OriginGuard, "check"> | undefined {
  if (originGuard === "always") return guard;
  const operators = scopes.every(scope => scope === "admin");
  return !operators && (authenticator.isOpen("api") || authenticator.isOpen("client")) ? guard : undefined;
}

/** Counts a request in; the function that takes it out again. Throws `draining`. */
function entered(drain: Drain, how: Route["drain"]): (() => void) | undefined {
  if (how === undefined) return undefined;
  if (how === "join") return drain.join();
  const leave = drain.enter();
  if (how === "enter") return leave;
  leave();
  return undefined;
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
