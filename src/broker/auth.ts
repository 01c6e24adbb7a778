import { matchesDigest, sha256 } from "../lib/digest.ts";
import { NfrxError } from "../lib/errors.ts";
import { type CredentialHeader, credentialsOf, firstKeyOf, splitList, type TrustedProxies } from "../lib/http.ts";
import { type KeyKind, type KeyThrottle, unauthorized } from "./key-throttle.ts";

/** A key as it is kept: only its digest, so that comparing takes the same time for every guess. */
class Key {
  readonly #digest: Uint8Array;

  constructor(key: string) {
    this.#digest = sha256(key);
  }

  matches(guess: string): boolean {
    return matchesDigest(guess, this.#digest);
  }
}

export interface AuthenticatorOptions {
  readonly kind: KeyKind;
  readonly key: string | undefined;
  readonly roles: readonly string[];
  readonly proxies: TrustedProxies;
  readonly throttle: KeyThrottle;
}

/**
 * One class of callers (`API` or `CLIENT`): a key, a set of roles, both or neither. With neither the door is open; with
 * roles alone it is closed to everybody without one of them.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #key: Key | undefined;
  readonly #roles: ReadonlySet<string>;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#key = options.key ? new Key(options.key) : undefined;
    this.#roles = new Set(options.roles);
  }

  get open(): boolean {
    return this.#key === undefined && this.#roles.size === 0;
  }

  /** True when a key can open it. */
  get takesKey(): boolean {
    return this.#key !== undefined;
  }

  /** True when the request may pass: one right key among several is enough. `peer` is asked for only when a role is claimed. */
  admits(headers: Headers, peer: () => string): boolean {
    if (this.open) return true;
    const first = firstKeyOf(headers);
    if (first !== undefined && this.admitsKey(first)) return true;
    if (credentialsOf(headers).some(({ key }) => key !== first && this.admitsKey(key))) return true;
    if (this.#roles.size === 0) return false;
    const claimed = headers.get("x-user-roles");
    if (claimed === null || !this.#options.proxies.has(peer())) return false;
    return splitList(claimed).some(role => this.#roles.has(role));
  }

  /** The names of the headers that carry this door's key. */
  carriersOf(headers: Headers): CredentialHeader[] {
    return credentialsOf(headers)
      .filter(({ key }) => this.#key?.matches(key))
      .map(({ header }) => header);
  }

  /** A short name for the caller: of this door's key where that is brought, else of whatever key is. */
  callerOf(headers: Headers): string {
    const credentials = credentialsOf(headers);
    const right = credentials.find(({ key }) => this.#key?.matches(key)) ?? credentials[0];
    return right === undefined ? "-" : fingerprintOf(right.key);
  }

  /** True when `key` opens this door. */
  admitsKey(key: string): boolean {
    return this.open || (this.#key?.matches(key) ?? false);
  }

  /** Throws `unauthorized`, or `too_many_attempts`, when the request may not pass. */
  check(headers: Headers, peer: () => string): void {
    if (!this.admits(headers, peer)) throw this.refusal(headers, peer);
  }

  /** The error for a request that none of its credentials lets in. */
  refusal(headers: Headers, peer: () => string): NfrxError {
    return refusalOf(this.#options, headers, peer);
  }

  /** The address that a wrong key counts for when it comes after the request, in a message. */
  addressOf(headers: Headers, peer: string): string {
    return this.#options.throttle.addressOf(headers, peer);
  }

  /** The same for a key that came in a message, from this address. */
  wrongKey(address: string): NfrxError {
    return this.#options.throttle.wrongKey(this.#options.kind, address);
  }
}

export interface AdminAuthenticatorOptions {
  readonly key: string | undefined;
  readonly throttle: KeyThrottle;
}

/** The door of administration: one key. Without a key nobody passes. */
export class AdminAuthenticator {
  readonly #key: Key | undefined;
  readonly #throttle: KeyThrottle;

  constructor({ key, throttle }: AdminAuthenticatorOptions) {
    this.#key = key ? new Key(key) : undefined;
    this.#throttle = throttle;
  }

  /** False when nobody can pass. */
  get exists(): boolean {
    return this.#key !== undefined;
  }

  /** True when the request brings the key. */
  admits(headers: Headers): boolean {
    return credentialsOf(headers).some(({ key }) => this.#key?.matches(key) === true);
  }

  /** Throws `forbidden` when there is no key to bring, `unauthorized` or `too_many_attempts` when the request does not bring it. */
  check(headers: Headers, peer: () => string): void {
    if (this.#key === undefined) throw new NfrxError("forbidden", "operator actions are off: ADMIN_KEY is not set");
    if (!this.admits(headers)) throw refusalOf({ kind: "admin", throttle: this.#throttle }, headers, peer);
  }
}

/** The one place where a request is refused for its credentials. A request without any has guessed nothing. */
export function refusalOf(
  { kind, throttle }: { kind: KeyKind; throttle: KeyThrottle },
  headers: Headers,
  peer: () => string,
): NfrxError {
  if (credentialsOf(headers).length === 0) return unauthorized();
  return throttle.wrongKey(kind, throttle.addressOf(headers, peer()));
}

/** A short name for whoever sent a key, for logs and fair queueing; the key cannot be read back from it. */
export function fingerprint(headers: Headers): string {
  const first = firstKeyOf(headers);
  return first === undefined ? "-" : fingerprintOf(first);
}

/** The same for a key. */
export function fingerprintOf(key: string): string {
  return sha256(key).toString("hex", 0, 4);
}
