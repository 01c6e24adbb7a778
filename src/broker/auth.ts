import { timingSafeEqual } from "node:crypto";
import { NfrxError } from "../lib/errors.ts";
import { bearerToken, callerKey, splitList, type TrustedProxies } from "../lib/http.ts";

/** A key as it is kept: only its digest, so that comparing takes the same time for every guess. */
class Key {
  readonly #digest: Uint8Array;

  constructor(key: string) {
    this.#digest = digest(key);
  }

  matches(guess: string): boolean {
    return timingSafeEqual(this.#digest, digest(guess));
  }
}

/**
 * One class of callers (`API` or `CLIENT`): a key, a set of roles, both or neither. With neither the door is open; with
 * roles alone it is closed to everybody without one of them.
 */
export class Door {
  readonly #key: Key | undefined;
  readonly #roles: ReadonlySet<string>;

  constructor(
    key: string | undefined,
    roles: readonly string[],
    private readonly proxies: TrustedProxies,
  ) {
    this.#key = key ? new Key(key) : undefined;
    this.#roles = new Set(roles);
  }

  get open(): boolean {
    return this.#key === undefined && this.#roles.size === 0;
  }

  /** True when the request may pass. `peer` is asked for the peer's address only when a role is claimed. */
  admits(headers: Headers, peer: () => string): boolean {
    if (this.open) return true;
    const key = callerKey(headers);
    if (key !== undefined && this.admitsKey(key)) return true;
    if (this.#roles.size === 0) return false;
    const claimed = headers.get("x-user-roles");
    if (claimed === null || !this.proxies.has(peer())) return false;
    return splitList(claimed).some(role => this.#roles.has(role));
  }

  /** The name of the header that carries this door's key, if one does. */
  carrierOf(headers: Headers): string | undefined {
    const token = bearerToken(headers);
    if (token !== undefined && this.#key?.matches(token)) return "authorization";
    const key = headers.get("x-api-key");
    return key !== null && this.#key?.matches(key) ? "x-api-key" : undefined;
  }

  /** True when `key` opens this door. */
  admitsKey(key: string): boolean {
    return this.open || (this.#key?.matches(key) ?? false);
  }

  /** Throws `unauthorized` when the request may not pass. */
  check(headers: Headers, peer: () => string): void {
    if (!this.admits(headers, peer)) throw new NfrxError("unauthorized", "unauthorized");
  }
}

/** The door of administration: one key, as a bearer token. Without a key it is shut for good. */
export class AdminDoor {
  readonly #key: Key | undefined;

  constructor(key: string | undefined) {
    this.#key = key ? new Key(key) : undefined;
  }

  /** False when nobody can pass. */
  get exists(): boolean {
    return this.#key !== undefined;
  }

  /** Throws `forbidden` when there is no key to bring, `unauthorized` when the request does not bring it. */
  check(headers: Headers): void {
    if (this.#key === undefined) throw new NfrxError("forbidden", "administration is off: ADMIN_KEY is not set");
    const token = bearerToken(headers);
    if (token === undefined || !this.#key.matches(token)) throw new NfrxError("unauthorized", "unauthorized");
  }
}

/** A short name for whoever sent a key, for logs and fair queueing; the key cannot be read back from it. */
export function fingerprint(headers: Headers): string {
  const key = callerKey(headers);
  return key === undefined ? "-" : Buffer.from(digest(key)).toString("hex", 0, 4);
}

function digest(text: string): Uint8Array {
  const bytes = new Uint8Array(32);
  Bun.SHA256.hash(text, bytes);
  return bytes;
}
