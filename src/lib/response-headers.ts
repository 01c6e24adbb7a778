// The header policy for all responses of workers and relays. Their pages must not be able to act for the broker, whose
// origin browsers see.
import { HeaderMemo } from "./header-memo.ts";
import { type ContentHeaders, contentOf, type HeaderPairs, HOP_BY_HOP, isHeader } from "./http.ts";
import { isPlainPath } from "./plain-path.ts";

/** Response headers that never pass: of one hop, the broker's own, or an order to the browser about the whole origin. */
const DROPPED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "content-length",
  "x-request-id",
  "accept-ch",
  "activate-storage-access",
  "alt-svc",
  "alternates",
  "clear-site-data",
  "content-security-policy",
  "content-security-policy-report-only",
  "critical-ch",
  "document-policy",
  "expect-ct",
  "link",
  "nel",
  "observe-browsing-topics",
  "origin-agent-cluster",
  "origin-trial",
  "permissions-policy",
  "public-key-pins",
  "public-key-pins-report-only",
  "refresh",
  "report-to",
  "reporting-endpoints",
  "service-worker-allowed",
  "set-cookie",
  "set-cookie2",
  "set-login",
  "sourcemap",
  "speculation-rules",
  "strict-transport-security",
  "supports-loading-mode",
  "timing-allow-origin",
  "use-as-dictionary",
  "x-content-type-options",
  "x-dns-prefetch-control",
  "x-sourcemap",
]);
const DROPPED_PREFIXES = ["access-control-", "attribution-reporting-", "proxy-", "x-nfrx-"] as const;

/** Headers of every response on a proxied route, including the broker's own. */
export const NOSNIFF = ["x-content-type-options", "nosniff"] as const;

/** Caches must not store an event stream, and nginx must not buffer it. */
const UNBUFFERED = [
  ["cache-control", "no-cache"],
  ["x-accel-buffering", "no"],
] as const;

/** The headers of an event stream that the broker writes itself. */
export const EVENT_STREAM: Readonly<Record<string, string>> = Object.fromEntries([
  ["content-type", "text/event-stream"],
  ...UNBUFFERED,
  NOSNIFF,
]);

/** Adds headers that make proxies forward a stream immediately; keeps the backend's own. */
export function addUnbuffered(headers: Headers): void {
  for (const [name, value] of UNBUFFERED) if (!headers.has(name)) headers.set(name, value);
}

/** A page or script gets no origin, no script and no resources. */
const SANDBOX = ["content-security-policy", "sandbox; default-src 'none'"] as const;

/** Types that a browser neither runs nor renders as a document. Anything else is sandboxed. */
const INERT =
  /^(?:application\/(?:json|[\w.-]+\+json|x-ndjson|jsonl|octet-stream|zip|gzip)|text\/(?:event-stream|plain|markdown|csv)|(?:audio|video|font)\/[\w.+-]+|image\/(?!svg)[\w.-]+)\s*(?:;[^,]*)?$/i;

/**
 * The response headers of a worker or relay for a client. `url` is the requested address: a `Location` is kept only
 * below the same module, relay or worker.
 */
export function responseHeaders(pairs: HeaderPairs, requestId: string, url: string): HeaderPairs {
  const kept: HeaderPairs = [];
  let types = 0;
  let inert = true;
  for (const pair of pairs) {
    const [name, value] = pair;
    const lower = name.toLowerCase();
    if (DROPPED.has(lower) || hasDroppedPrefix(lower) || !isHeader(name, value)) continue;
    if (lower === "content-type") {
      types++;
      inert = INERT.test(value);
    } else if ((lower === "location" || lower === "content-location") && !staysBelow(value, url)) continue;
    kept.push(pair);
  }
  kept.push(["x-request-id", requestId], [...NOSNIFF]);
  if (types > 1 || !inert) kept.push([...SANDBOX]);
  return kept;
}

/** The policy for one source of responses; results are cached. */
export class ResponsePolicy {
  readonly #memo = new HeaderMemo<ContentHeaders>(CHANGING);

  /** The headers of `responseHeaders`, and the body properties from them. */
  apply(pairs: HeaderPairs, requestId: string, url: string): { headers: Headers; content: ContentHeaders } {
    const { headers, about } = this.#memo.of(pairs, list => ({
      pairs: responseHeaders(list, requestId, url),
      about: contentOf(list),
      reusable: !list.some(([name]) => LOCATION.test(name)),
    }));
    headers.set("x-request-id", requestId);
    return { headers, content: about };
  }
}

/** Response headers that have a new value each time. */
const CHANGING: ReadonlySet<string> = new Set(["date", "x-request-id", "content-length"]);
/** Headers for which the policy depends on the requested address. */
const LOCATION = /^(?:content-)?location$/i;

/** Called for every header: prefixes begin with few letters. */
function hasDroppedPrefix(name: string): boolean {
  const first = name.charCodeAt(0);
  return (first === A || first === P || first === X) && DROPPED_PREFIXES.some(prefix => name.startsWith(prefix));
}
const [A, P, X] = [0x61, 0x70, 0x78];

const PROXIED = /^\/api\/[^/]+(?:\/id\/[^/]+)?/;

/** True when a reference leads from the address `url` to one below the same public prefix. */
function staysBelow(reference: string, url: string): boolean {
  const from = new URL(url);
  const prefix = PROXIED.exec(from.pathname)?.[0];
  if (prefix === undefined || !URL.canParse(reference, url)) return false;
  const to = new URL(reference, from);
  // Behind a proxy that does TLS the scheme that we see is not the client's.
  const same = to.host === from.host && /^https?:$/.test(to.protocol);
  return same && isPlainPath(to.pathname) && (to.pathname === prefix || to.pathname.startsWith(`${prefix}/`));
}
