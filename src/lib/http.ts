// HTTP rules for a proxy: hop-by-hop headers, credentials, addresses. See also request-headers.ts and
// response-headers.ts.
import { BlockList, isIP } from "node:net";

export type HeaderPairs = [name: string, value: string][];

/** Header with the maximum message size that the broker forwards, in bytes. */
export const MAX_ANSWER_HEADER = "x-nfrx-max-answer-bytes";

/** True for a request that opens an event stream and so has no foreseeable end. */
export function listens(method: string, accept: string | null | undefined): boolean {
  return method === "GET" && (accept ?? "").toLowerCase().includes("text/event-stream");
}

/** Header names that describe one hop and never travel on. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The headers with the length of the body that they belong to, where that is known and not nothing. */
export function withLength(headers: HeaderPairs, length = 0): HeaderPairs {
  return length > 0 ? [...headers, ["content-length", String(length)]] : headers;
}

/** True when HTTP allows a header of this name and value. */
export function isHeader(name: string, value: string): boolean {
  return TOKEN.test(name) && !FORBIDDEN.test(value);
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the bytes RFC 9110 keeps out of a field value, and all beyond Latin-1
const FORBIDDEN = /[\u0000-\u0008\u000a-\u001f\u007f]|[^\u0000-\u00ff]/;

/** Body properties from a message's headers. */
export interface ContentHeaders {
  /** Content type in lower case, without parameters; empty if missing. */
  readonly type: string;
  readonly encoding: string | undefined;
}

export function contentOf(pairs: HeaderPairs): ContentHeaders {
  const type = headerOf(pairs, "content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return { type, encoding: headerOf(pairs, "content-encoding") };
}

/** True when a head's content type is `type`, parameters aside. */
export function hasContentType(pairs: HeaderPairs, type: string): boolean {
  return contentOf(pairs).type === type;
}

/** The first value of a header, by its lower-case name. */
export function headerOf(pairs: HeaderPairs, name: string): string | undefined {
  for (const pair of pairs) if (pair[0].toLowerCase() === name) return pair[1];
  return undefined;
}

/** The token of an `Authorization: Bearer` header. */
export function bearerToken(headers: Headers): string | undefined {
  const value = headers.get("authorization");
  if (value === null || value.length < 8 || value.slice(0, 7).toLowerCase() !== "bearer ") return undefined;
  return value.slice(7).trim();
}

/** The headers that can carry a key: bearer token, Docling's clients, Azure's clients. */
export const CREDENTIAL_HEADERS = ["authorization", "x-api-key", "api-key"] as const;

export type CredentialHeader = (typeof CREDENTIAL_HEADERS)[number];

/** A key sent by a caller. */
export interface Credential {
  readonly header: CredentialHeader;
  readonly key: string;
}

/** All keys of a request, in the order of CREDENTIAL_HEADERS; a client may send several, one of which is for us. */
export function credentialsOf(headers: Headers): Credential[] {
  const found: Credential[] = [];
  for (const header of CREDENTIAL_HEADERS) {
    const key = credentialIn(headers, header);
    if (key !== undefined) found.push({ header, key });
  }
  return found;
}

/** The key in one of CREDENTIAL_HEADERS. */
export function credentialIn(headers: Headers, header: CredentialHeader): string | undefined {
  return header === "authorization" ? bearerToken(headers) : (headers.get(header) ?? undefined);
}

/** The client's own request id when it is a sane one, else a fresh one. */
export function requestIdOf(headers: Headers): string {
  const given = headers.get("x-request-id");
  return given !== null && /^[\w.:-]{1,128}$/.test(given) ? given : crypto.randomUUID();
}

/** A comma separated header as a list of trimmed, non-empty words. */
export function splitList(value: string): string[] {
  return value
    .split(",")
    .map(word => word.trim())
    .filter(word => word !== "");
}

/** The trusted proxies. */
export class TrustedProxies {
  readonly #list = new BlockList();

  /** `cidrs` such as `10.0.0.0/8`, `fc00::/7`, or single addresses. Throws on anything else. */
  constructor(cidrs: readonly string[]) {
    for (const cidr of cidrs) {
      const [address = "", prefix, more] = cidr.split("/");
      const family = isIP(address);
      // An empty prefix would be read as 0 and trust every address.
      if (family === 0 || prefix === "" || more !== undefined) throw new Error(`not an address: ${cidr}`);
      const bits = prefix === undefined ? (family === 4 ? 32 : 128) : Number(prefix);
      this.#list.addSubnet(address, bits, family === 4 ? "ipv4" : "ipv6");
    }
  }

  has(address: string): boolean {
    const plain = plainAddress(address);
    const family = isIP(plain);
    return family !== 0 && this.#list.check(plain, family === 4 ? "ipv4" : "ipv6");
  }

  /**
   * The client address of a request: the peer or, if the peer is trusted, the last address of X-Forwarded-For that is
   * not a trusted proxy.
   */
  clientAddress(peer: string, forwardedFor: string | null): string {
    if (forwardedFor === null || !this.has(peer)) return plainAddress(peer);
    const hops = splitList(forwardedFor);
    for (let at = hops.length - 1; at >= 0; at--) {
      const hop = plainAddress(hops[at] ?? "");
      if (isIP(hop) === 0) break;
      if (!this.has(hop) || at === 0) return hop;
    }
    return plainAddress(peer);
  }
}

/** An address without an IPv4-in-IPv6 prefix. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}
