// Which headers of a caller's request travel to an agent, and from an agent to its backend.
import { CREDENTIAL_HEADERS, type HeaderPairs, HOP_BY_HOP, isHeader, splitList } from "./http.ts";

/** The headers that travel to the workers of every module. */
const LISTED: ReadonlySet<string> = new Set([
  "content-type",
  "content-encoding",
  "accept",
  "accept-encoding",
  "accept-language",
  "user-agent",
  "idempotency-key",
  "openai-beta",
  "anthropic-version",
  "anthropic-beta",
  "accept-docling-document-version",
  "traceparent",
  "tracestate",
]);

const COMMON: ReadonlySet<string> = new Set([...LISTED, "cache-control"]);
const TRAVELS: ReadonlySet<string> = new Set([...COMMON, "x-request-id"]);

/** Headers that are never forwarded to a backend: cookies, addresses, and those that the broker or an agent sets. */
const NEVER_TRAVELS: ReadonlySet<string> = new Set([
  "host",
  "content-length",
  "expect",
  "origin",
  "cookie",
  "cookie2",
  "forwarded",
  "x-real-ip",
  "x-request-id",
  "x-user-roles",
  "service-worker",
]);
/** Includes the headers between broker and agents. */
const NEVER_PREFIXES = ["proxy-", "x-forwarded-", "x-nfrx-"] as const;

/** False for a header, by its lower-case name, that no request carries past the broker, nor past an agent. */
function mayTravel(name: string): boolean {
  if (COMMON.has(name)) return true;
  return !HOP_BY_HOP.has(name) && !NEVER_TRAVELS.has(name) && !NEVER_PREFIXES.some(prefix => name.startsWith(prefix));
}

/** True when `name` can be a header that the broker forwards on request: one that may travel and holds no credential. */
export function mayForward(name: string): boolean {
  return mayTravel(name) && !CREDENTIAL_HEADERS.some(credential => credential === name);
}

/** True when an agent may add a header of this name to its requests by an option: neither of one hop nor of the framing. */
export function maySet(name: string): boolean {
  return !HOP_BY_HOP.has(name) && name !== "host" && name !== "content-length" && name !== "accept-encoding";
}

/** True when a request header of this lower-case name reaches every backend. */
export function travels(name: string): boolean {
  return TRAVELS.has(name);
}

/**
 * The headers of a client's request as a worker gets them: the fixed list, and those that one of `further` names, in lower
 * case; a star at the end of a name stands for any ending.
 */
export function requestHeaders(headers: Headers, requestId: string, further: readonly string[] = NONE): HeaderPairs {
  const pairs: HeaderPairs = [];
  for (const pair of headers) if (LISTED.has(pair[0]) || isFurther(pair[0], further)) pairs.push(pair);
  pairs.push(["cache-control", "no-store"], ["x-request-id", requestId]);
  return pairs;
}

const NONE: readonly string[] = [];

function isFurther(name: string, further: readonly string[]): boolean {
  return (
    further.length > 0 && !TRAVELS.has(name) && mayForward(name) && further.some(pattern => matches(pattern, name))
  );
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** Requests a response without content encoding. */
export function askIdentity(headers: HeaderPairs): void {
  const asked = headers.find(([name]) => name === "accept-encoding");
  if (asked === undefined) headers.push(["accept-encoding", "identity"]);
  else asked[1] = "identity";
}

/** The headers of a client's request with all that may travel, except those in `without`. */
export function relayHeaders(headers: Headers, requestId: string, without: readonly string[]): HeaderPairs {
  const pairs: HeaderPairs = [];
  // A hop may name further headers that are its own.
  const dropped = new Set([...without, ...splitList(headers.get("connection")?.toLowerCase() ?? "")]);
  headers.forEach((value, name) => {
    if (mayTravel(name) && !dropped.has(name)) pairs.push([name, value]);
  });
  pairs.push(["x-request-id", requestId]);
  return pairs;
}

/**
 * The headers of a tunneled request for a backend: an agent does not rely on its broker. Removes invalid headers, those
 * that are never forwarded, and those in `drops`.
 */
export function backendHeaders(list: HeaderPairs, drops: (lowerName: string) => boolean): HeaderPairs {
  const headers: HeaderPairs = [];
  let encoding = false;
  for (const [name, value] of list) {
    const lower = name.toLowerCase();
    if (!isHeader(name, value) || !(lower === "x-request-id" || mayTravel(lower)) || drops(lower)) continue;
    encoding ||= lower === "accept-encoding";
    headers.push([name, value]);
  }
  // Otherwise Bun would request encodings that the client may not support.
  if (!encoding) headers.push(["accept-encoding", "identity"]);
  return headers;
}
