import { NfrxError } from "../../../lib/errors.ts";
import { isPlainPath } from "../../../lib/plain-path.ts";
import type { Endpoint } from "../../../modules/module.ts";
import type { PathParams } from "../../../modules/route.ts";

/** Path and query of what a worker is asked for. Throws `not_found` for a segment that no name can be, or a path that climbs. */
export type TargetOf = (params: PathParams, url: string) => string;

/** How an endpoint's requests get their target. */
export function targetOf({ path, backendPath }: Endpoint): TargetOf {
  if (path.endsWith("/*")) return rest(path, backendPath.replace(/\/\*$/, ""));
  if (!NAMED.test(backendPath)) return (_, url) => backendPath + queryOf(url);
  return (params, url) => backendPath.replace(NAMES, (_, name: string) => segment(name, params)) + queryOf(url);
}

const NAMED = /:\w/;
const NAMES = /:(\w+)/g;

function segment(name: string, params: PathParams): string {
  const value = params[name] ?? "";
  if (!/^[\w.~-]{1,128}$/.test(value) || /^\.+$/.test(value))
    throw new NfrxError("not_found", `${name} is not a valid name`, { param: name });
  return value;
}

function queryOf(url: string): string {
  const at = url.indexOf("?");
  return at === -1 ? "" : url.slice(at);
}

/** The path after its fixed part, and the query, unchanged. */
function rest(pattern: string, root: string): TargetOf {
  const fixed = pattern
    .slice(0, -2)
    .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
    .replace(/:\w+/g, "[^/?#]+");
  const below = new RegExp(`^[^:]+://[^/]*/api/[^/]+(?:/id/[^/?#]*)?${fixed}(/[^#]*)`);
  return (_, url) => {
    const found = below.exec(url)?.[1];
    if (found === undefined || !isPlainPath(found.split("?", 1)[0] ?? ""))
      throw new NfrxError("not_found", "path not found");
    return root + found;
  };
}
