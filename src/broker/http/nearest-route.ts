// Suggests the route that the caller probably meant.
import type { Route } from "../../modules/route.ts";
import { servedPaths } from "./served-paths.ts";

/** Finds the route for a path that has none: `//v1`, or a base URL without its `/v1` or its module. */
export class NearestRoute {
  readonly #patterns: readonly { method: string; pattern: RegExp }[];
  readonly #modules: readonly string[];

  constructor(routes: readonly Pick<Route, "method" | "path" | "orSlash">[]) {
    this.#patterns = routes.flatMap(route =>
      servedPaths(route).map(path => ({ method: route.method, pattern: patternOf(path) })),
    );
    this.#modules = [...new Set(routes.flatMap(({ path }) => /^\/api\/([^/:*]+)\/v1\//.exec(path)?.[1] ?? []))];
  }

  /** The path of a route for this method, when a likely correction of `path` has one. */
  of(method: string, path: string): string | undefined {
    if (path.length > PATH_MAX) return undefined;
    const single = path.replace(/\/{2,}/g, "/");
    const below = (module: string, rest: string): string => `/api/${module}${rest}`;
    const [, module = "", rest = ""] = /^\/api\/([^/]+)(\/.*)$/.exec(single) ?? [];
    const bare = single.replace(/^\/v1(?=\/)/, "");
    const candidates = [
      single,
      ...(rest === "" ? [] : [below(module, `/v1${rest}`), below(module, rest.replace(/^(?:\/v1)+/, "/v1"))]),
      ...this.#modules.map(name => below(name, `/v1${bare}`)),
    ];
    return candidates.find(candidate => candidate !== path && this.#has(method, candidate));
  }

  #has(method: string, path: string): boolean {
    return this.#patterns.some(route => route.method === method && route.pattern.test(path));
  }
}

/** Maximum length of a path for which a suggestion is made, in characters. */
const PATH_MAX = 512;

function patternOf(path: string): RegExp {
  const escaped = path
    .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
    .replace(/:\w+/g, "[^/]+")
    .replace(/\*$/, ".+");
  return new RegExp(`^${escaped}$`);
}
