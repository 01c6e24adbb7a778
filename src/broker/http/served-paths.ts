import type { Route } from "../../modules/route.ts";

/** A route's path as the framework writes it. */
export function servedPath(path: string): string {
  return path.replace(/\*\w+$/, "*");
}

/** A route's paths as the framework writes them: one, and where the route says so, the same with a slash at its end. */
export function servedPaths({ path, orSlash }: Pick<Route, "path" | "orSlash">): string[] {
  return orSlash ? [servedPath(path), `${path}/`] : [servedPath(path)];
}
