// The only code that reads credentials, in every form.
import { timingSafeEqual } from "node:crypto";
import { sha256 } from "../../../lib/digest.ts";
import { NfrxError } from "../../../lib/errors.ts";
import { CREDENTIAL_HEADERS, credentialIn, splitList, type TrustedProxies } from "../../../lib/http.ts";
import type { PeerServer, Requirement, Scope } from "../../../modules/route.ts";
import { type KeyKind, type KeyThrottle, unauthorized } from "./key-throttle.ts";
import { credentialOf, type Identity, type Origin, peerOf, RequestPrincipal } from "./principal.ts";
import type { Tickets } from "./tickets.ts";

/** The keys of the configuration for one purpose, separated by commas, and the roles that count as much. */
interface KeySettings {
  readonly key: string | undefined;
  readonly roles?: readonly string[];
}

export interface AuthenticatorOptions {
  readonly api: KeySettings;
  readonly client: KeySettings;
  readonly admin: KeySettings;
  readonly proxies: TrustedProxies;
  readonly throttle: KeyThrottle;
  readonly tickets: Tickets;
  /** The keys that operators made. */
  readonly keys?: { find(digest: Buffer): Identity | undefined } | undefined;
}

/** A request whose principal is wanted. */
export interface Arrival {
  readonly request: Request;
  readonly server: PeerServer;
  /** Where its credentials are. */
  readonly headers: Headers;
}

type BuiltInKind = "api" | "client" | "admin";

/** The scopes of the keys in the configuration. */
const HOLDS: Readonly<Record<BuiltInKind, (scope: Scope) => boolean>> = {
  api: scope => scope !== "client" && scope !== "admin",
  client: scope => scope === "client",
  admin: scope => scope === "admin",
};

/** The keys whose holders may use a route with these scopes. */
export function holdersOf(scopes: readonly Scope[]): BuiltInKind[] {
  return KINDS.filter(kind => scopes.some(HOLDS[kind]));
}

const KINDS = ["api", "client", "admin"] as const;

/** A configured key: only its digest, and the equivalent roles. */
class BuiltIn implements Identity {
  readonly name: string;
  readonly digests: readonly Uint8Array[];
  /** The names of the keys in the log. */
  readonly credentials: readonly string[];
  readonly roles: ReadonlyMap<string, Identity>;
  readonly holds: (scope: Scope) => boolean;

  constructor(
    readonly kind: BuiltInKind,
    { key, roles = [] }: KeySettings,
  ) {
    this.name = kind;
    const digests = splitList(key ?? "").map(sha256);
    this.digests = digests;
    this.credentials = digests.map(credentialOf);
    this.holds = HOLDS[kind];
    this.roles = new Map(roles.map(name => [name, { kind: "role", name, holds: this.holds }]));
  }

  /** True when nothing is asked for. Administration is never open. */
  get open(): boolean {
    return this.kind !== "admin" && this.digests.length === 0 && this.roles.size === 0;
  }
}

/** Resolves the principal of a request, for the mount. */
export interface Authenticates {
  isOpen(kind: "api" | "client"): boolean;
  resolve(arrival: Arrival, wanted: Requirement): RequestPrincipal;
  stranger(arrival: Arrival): RequestPrincipal;
}

export class Authenticator implements Authenticates {
  readonly #options: AuthenticatorOptions;
  readonly #builtIn: Readonly<Record<BuiltInKind, BuiltIn>>;
  readonly #anonymous: Identity;
  readonly #holders = new WeakMap<readonly Scope[], readonly BuiltIn[]>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    const { api, client, admin } = options;
    this.#builtIn = {
      api: new BuiltIn("api", api),
      client: new BuiltIn("client", client),
      admin: new BuiltIn("admin", admin),
    };
    const open = KINDS.map(kind => this.#builtIn[kind]).filter(one => one.open);
    this.#anonymous = { kind: "anonymous", name: "anonymous", holds: scope => open.some(one => one.holds(scope)) };
  }

  /** True when callers, or agents, need no key. */
  isOpen(kind: "api" | "client"): boolean {
    return this.#builtIn[kind].open;
  }

  /** True when there is a key of administration. */
  get hasAdmin(): boolean {
    return this.#builtIn.admin.digests.length > 0;
  }

  /**
   * The principal of a request for something that asks for `wanted`. Of several credentials the first one counts that is
   * enough; others beside it are no guess. Its `refusal` is set when none is.
   */
  resolve(arrival: Arrival, wanted: Requirement): RequestPrincipal {
    const principal = this.#byScope(arrival, wanted);
    const { tokens = [] } = wanted;
    if (tokens.length === 0 || principal.refusal !== undefined) return principal;
    return this.#byToken(principal, tokens, arrival);
  }

  /** The principal of a request that has not been let in, or need not be. */
  stranger({ headers, ...from }: Arrival): RequestPrincipal {
    return new RequestPrincipal(this.#anonymous, firstKeyOf(headers), this.#originOf(from));
  }

  /** True when a key that an agent brings in its first message is right; else it counts as a guess from this address. */
  admitsMessage(keys: readonly string[], address: string): boolean {
    const { client } = this.#builtIn;
    if (client.open || keys.some(key => matches(client.digests, sha256(key)))) return true;
    if (keys.length > 0) this.#options.throttle.wrongKey("client", address);
    return false;
  }

  #byScope(arrival: Arrival, { scopes, keyMayFollow }: Requirement): RequestPrincipal {
    const { headers } = arrival;
    if (scopes.includes(PUBLIC)) return this.stranger(arrival);
    const holders = this.#holdersOf(scopes);
    let first: Buffer | undefined;
    let narrow: RequestPrincipal | undefined;
    for (const name of CREDENTIAL_HEADERS) {
      const key = credentialIn(headers, name);
      if (key === undefined) continue;
      const digest = sha256(key);
      first ??= digest;
      for (const holder of holders) {
        const at = holder.digests.findIndex(one => timingSafeEqual(one, digest));
        if (at >= 0) return new RequestPrincipal(holder, undefined, this.#originOf(arrival), holder.credentials[at]);
      }
      const found = this.#options.keys?.find(digest);
      if (found === undefined) continue;
      const principal = new RequestPrincipal(found, undefined, this.#originOf(arrival));
      if (scopes.some(scope => found.holds(scope))) return principal;
      narrow ??= principal;
    }
    if (narrow !== undefined) {
      narrow.refusal = new NfrxError(
        "forbidden",
        `the key ${narrow.name} does not have the scope ${scopes.join(" or ")}`,
      );
      return narrow;
    }
    const ticket = this.#options.tickets.of(arrival.request);
    if (ticket !== undefined)
      return new RequestPrincipal(ticket.maker, undefined, this.#originOf(arrival), ticket.maker.credential);
    const role = this.#roleOf(arrival, holders);
    const principal = new RequestPrincipal(role ?? this.#anonymous, first, this.#originOf(arrival));
    if (role !== undefined || holders.some(one => one.open)) return principal;
    if (keyMayFollow && this.#builtIn.client.digests.length > 0 && !CLAIMS.some(name => headers.has(name)))
      return principal;
    principal.refusal = this.#refusal(holders, first !== undefined, principal);
    return principal;
  }

  /** The keys whose holders may use routes with these scopes, worked out once for each list of scopes. */
  #holdersOf(scopes: readonly Scope[]): readonly BuiltIn[] {
    let holders = this.#holders.get(scopes);
    if (holders === undefined) {
      holders = holdersOf(scopes).map(kind => this.#builtIn[kind]);
      this.#holders.set(scopes, holders);
    }
    return holders;
  }

  #byToken(principal: RequestPrincipal, tokens: readonly Uint8Array[], arrival: Arrival): RequestPrincipal {
    const brought = CREDENTIAL_HEADERS.flatMap(name => {
      const key = credentialIn(arrival.headers, name);
      return key === undefined ? [] : [sha256(key)];
    });
    const found = tokens.map(token => brought.find(digest => timingSafeEqual(digest, token)));
    if (found.includes(undefined)) {
      principal.refusal = this.#wrongKey("relay", brought.length > 0, principal);
      return principal;
    }
    return principal.kind === "anonymous"
      ? new RequestPrincipal(RELAY_CALLER, found[0], this.#originOf(arrival))
      : principal;
  }

  /** The role that counts; the peer is asked for only when one is claimed. */
  #roleOf({ request, server, headers }: Arrival, holders: readonly BuiltIn[]): Identity | undefined {
    if (holders.every(one => one.roles.size === 0)) return undefined;
    const claimed = headers.get("x-user-roles");
    if (claimed === null || !this.#options.proxies.has(peerOf(request, server))) return undefined;
    for (const role of splitList(claimed))
      for (const { roles } of holders) {
        const identity = roles.get(role);
        if (identity !== undefined) return identity;
      }
    return undefined;
  }

  /** The one place where a request is refused for its credentials. */
  #refusal(holders: readonly BuiltIn[], brought: boolean, principal: RequestPrincipal): NfrxError {
    const [asked] = holders;
    if (asked === undefined || (asked.kind === "admin" && !this.hasAdmin))
      return new NfrxError("forbidden", "operator actions are off: ADMIN_KEY is not set");
    return this.#wrongKey(asked.kind, brought, principal);
  }

  /** A request without any credential has guessed nothing. */
  #wrongKey(kind: KeyKind, brought: boolean, { address }: RequestPrincipal): NfrxError {
    return brought ? this.#options.throttle.wrongKey(kind, address) : unauthorized();
  }

  #originOf({ request, server }: Pick<Arrival, "request" | "server">): Origin {
    return { request, server, proxies: this.#options.proxies };
  }
}

/** The scope of what asks for nothing. */
export const PUBLIC: Scope = "public";
/** The scope of what a relay guards. */
export const MCP: Scope = "mcp";

/** Principal with the token of a relay. */
const RELAY_CALLER: Identity = { kind: "relay", name: "relay", holds: scope => scope === MCP };

/** Headers that claim something, whether or not a key can be read in them. */
const CLAIMS = [...CREDENTIAL_HEADERS, "x-user-roles"];

function firstKeyOf(headers: Headers): string | undefined {
  for (const name of CREDENTIAL_HEADERS) {
    const key = credentialIn(headers, name);
    if (key !== undefined) return key;
  }
  return undefined;
}

function matches(known: readonly Uint8Array[], digest: Uint8Array): boolean {
  return known.some(one => timingSafeEqual(one, digest));
}
