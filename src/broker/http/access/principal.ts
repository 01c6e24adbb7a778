// The principal of a request, for all code behind the mount.
import { sha256 } from "../../../lib/digest.ts";
import type { NfrxError } from "../../../lib/errors.ts";
import type { TrustedProxies } from "../../../lib/http.ts";
import { networkOf } from "../../../lib/network.ts";
import type { CallerKey, PeerServer, Principal, PrincipalKind, Scope } from "../../../modules/route.ts";

/** Kind of credential. */
export interface Identity {
  readonly kind: PrincipalKind;
  readonly name: string;
  holds(scope: Scope): boolean;
  /** The key, when an operator made it. */
  readonly key?: CallerKey | undefined;
}

/** Headers by which apps name the person behind a request, as Open WebUI sends them. */
const PERSON_HEADERS = ["x-openwebui-user-id", "x-openwebui-user-email"];

/** Where a request comes from. */
export interface Origin {
  readonly request: Request;
  readonly server: PeerServer;
  readonly proxies: TrustedProxies;
}

/** The principal of one request. Digests and addresses are computed when first asked for. */
export class RequestPrincipal implements Principal {
  /** Why its request is not let in; undefined when it is. */
  refusal: NfrxError | undefined;
  #origin: Origin | undefined;
  #key: string | Buffer | undefined;
  #credential: string | undefined;
  #address: string | undefined;
  #caller: string | undefined;
  #person: string | undefined;
  #namedUser: string | undefined;

  /** `key` is the key that counts, or the first one that was brought, or its digest; `credential` stands for it where it is not at hand. */
  constructor(
    private readonly identity: Identity,
    key: string | Buffer | undefined,
    origin: Origin,
    credential?: string,
  ) {
    this.#key = key;
    this.#origin = origin;
    this.#credential = credential;
  }

  get kind(): PrincipalKind {
    return this.identity.kind;
  }

  get name(): string {
    return this.identity.name;
  }

  holds(scope: Scope): boolean {
    return this.identity.holds(scope);
  }

  get key(): CallerKey | undefined {
    return this.identity.key;
  }

  get person(): string | undefined {
    const { key } = this.identity;
    if (key === undefined) return undefined;
    this.#person ??= key.personFor(this.#user);
    return this.#person;
  }

  speaksFor(user: string): void {
    const { key } = this.identity;
    if (key === undefined || this.#user !== "") return;
    this.#person = key.personFor(user);
    this.#credential = this.#caller = undefined;
  }

  /** The person that a header names; empty without such a header. */
  get #user(): string {
    const headers = this.#origin?.request.headers;
    this.#namedUser ??= PERSON_HEADERS.map(name => headers?.get(name)).find(Boolean) ?? "";
    return this.#namedUser;
  }

  get credential(): string {
    if (this.#credential !== undefined) return this.#credential;
    if (this.identity.key !== undefined) {
      this.#credential = `person:${this.person}`;
      return this.#credential;
    }
    const key = this.#key;
    this.#key = undefined;
    this.#credential = key === undefined ? NO_CREDENTIAL : credentialOf(typeof key === "string" ? sha256(key) : key);
    return this.#credential;
  }

  get address(): string {
    if (this.#address !== undefined) return this.#address;
    const origin = this.#origin;
    if (origin === undefined) return "";
    if (this.identity.key !== undefined) this.#namedUser = this.#user;
    this.#origin = undefined;
    const { request, server, proxies } = origin;
    this.#address = proxies.clientAddress(peerOf(request, server), request.headers.get("x-forwarded-for"));
    return this.#address;
  }

  get caller(): string {
    const { key } = this.identity;
    this.#caller ??= key === undefined ? callerName(this.credential, this.address) : `${key.id} ${this.person}`;
    return this.#caller;
  }
}

/** The name of a key in logs, derived from its digest. */
export function credentialOf(digest: Buffer): string {
  return digest.toString("hex", 0, 4);
}

/** The `credential` of a principal that brought none. */
export const NO_CREDENTIAL = "-";

/** The address at the other end of the connection. */
export function peerOf(request: Request, server: PeerServer): string {
  return server.requestIP(request)?.address ?? "";
}

/** Names a caller by its credential and its network, as a digest: what keeps the name keeps no address. */
function callerName(credential: string, address: string): string {
  return sha256(`${credential} ${networkOf(address)}`)
    .toString("base64url")
    .slice(0, 16);
}
