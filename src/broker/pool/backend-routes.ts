// The routes of a backend: from its agent's report and its own responses.
import type { RouteNeeds } from "../../modules/module.ts";

/** An agent's report about its backend. */
export interface BackendFacts {
  readonly family: string | undefined;
  readonly version: string | undefined;
  /** The agent reports everything that it knows; an older one may omit the family. */
  readonly complete: boolean;
}

/** False for a backend that cannot have the route, by its family and version; true for one that has it, or may. */
export function mayHave({ family, version, complete }: BackendFacts, { families, since }: RouteNeeds): boolean {
  if (families !== undefined) return family === undefined ? !complete : families.includes(family);
  const first = family === undefined ? undefined : since?.[family];
  return first === undefined || version === undefined || !isOlder(version, first);
}

/** Compares versions of three numbers; one that is written otherwise is older than none. */
function isOlder(version: string, first: string): boolean {
  const [have, want] = [version, first].map(text => /^v?(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number));
  if (have === undefined || want === undefined) return false;
  for (const [at, number] of want.entries()) {
    const mine = have[at] ?? 0;
    if (mine !== number) return mine < number;
  }
  return false;
}

const NOT_FOUND = 404;
/** Statuses that mean that a backend does not have a route, whatever the body. */
const NO_ROUTE: ReadonlySet<number> = new Set([405, 501]);
/** Maximum size of such a response, in bytes; a longer one is a regular response. */
export const NO_ROUTE_BYTES = 4096;

/** True for a status that may mean that the backend does not have the route. */
export function mayLackRoute(status: number): boolean {
  return status === NOT_FOUND || NO_ROUTE.has(status);
}

/**
 * True when an answer says that the backend does not have the route. A 404 says so in the words of a web framework; one
 * with words about a model, or about anything else that was named, is an answer to the request.
 */
export function lacksRoute(status: number, body: string): boolean {
  if (NO_ROUTE.has(status)) return true;
  if (status !== NOT_FOUND) return false;
  const text = body.trim();
  if (text === "") return true;
  try {
    const message = messageOf(JSON.parse(text));
    return message !== undefined && (PLAIN_NOT_FOUND.test(message) || NO_SUCH_ROUTE.test(message));
  } catch {
    // A page, or a line of text: only a framework answers so.
    return !/\bmodel\b/i.test(text);
  }
}

const PLAIN_NOT_FOUND = /^(?:404)?\W*(?:(?:file|page|route|path|endpoint|url) )?not found\W*$/i;
const NO_SUCH_ROUTE =
  /\b(?:cannot|invalid|unknown|unexpected|unsupported|no such)\s+(?:request\s+)?(?:post|get|url|route|path|endpoint|method)\b/i;

/** The message of an error, in whichever field it stands. */
function messageOf(json: unknown): string | undefined {
  if (typeof json === "string") return json;
  if (typeof json !== "object" || json === null) return undefined;
  for (const field of ["error", "message", "detail"]) {
    const found = messageOf(Reflect.get(json, field));
    if (found !== undefined) return found;
  }
  return undefined;
}
