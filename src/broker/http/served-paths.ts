import type { Route } from "../../modules/route.ts";

/** A route's path as the framework writes it. */
export function servedPath(path: string): string {
  return path.replace(/\*\w+$/, "*");
}

/** A route's paths in the framework's syntax: one, and optionally the same with a trailing slash. */
export function servedPaths({ path, orSlash }: Pick<Route, "path" | "orSlash">): string[] {
  return orSlash ? [servedPath(path), `${path}/`] : [servedPath(path)];
}
