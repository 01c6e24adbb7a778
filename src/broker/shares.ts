// No caller takes all of what callers share.
import { NfrxError } from "../lib/errors.ts";
import type { TrustedProxies } from "../lib/http.ts";
import { networkOf } from "../lib/network.ts";
import { fingerprint } from "./auth.ts";

/** The part of the channels, streams, jobs, tickets and bytes of request bodies that one caller may have at once. */
export const CALLER_SHARE = 0.5;

/** What one caller may have of `max`. */
export function shareOf(max: number): number {
  return Math.max(1, Math.floor(max * CALLER_SHARE));
}

/** Names the caller of a request; `peer` is the other end of its connection. */
export type CallerOf = (headers: Headers, peer: string) => string;

/**
 * Names callers by their key and their address, or /64 network, since many may have one key. The name is a digest: what
 * keeps it keeps no address.
 */
export function callerNames(proxies: TrustedProxies): CallerOf {
  return (headers, peer) => {
    const address = networkOf(proxies.clientAddress(peer, headers.get("x-forwarded-for")));
    const text = `${fingerprint(headers)} ${address}`;
    return new Bun.CryptoHasher("sha256").update(text).digest("base64url").slice(0, 16);
  };
}

/** Counts what callers have of something of which there is so much at once, each its share. */
export class Shares {
  readonly #held = new Map<string, number>();
  #all = 0;

  constructor(
    private readonly max: number,
    /** The name of the things that are counted, in the plural, for the error. */
    private readonly what: string,
    private readonly share = shareOf(max),
  ) {}

  /** How much all of them have. */
  get size(): number {
    return this.#all;
  }

  /** Takes one; the function gives it back. Throws `overloaded` when there is none, `limit_exceeded` when the caller has its share. */
  take(caller: string): () => void {
    if (this.#all >= this.max) throw new NfrxError("overloaded", `too many ${this.what}`, AGAIN);
    const held = this.#held.get(caller) ?? 0;
    if (held >= this.share)
      throw new NfrxError(
        "limit_exceeded",
        `too many ${this.what} of this caller: at most ${this.share} at once`,
        AGAIN,
      );
    this.#add(caller, 1);
    let mine = true;
    return () => {
      if (mine) this.#add(caller, -1);
      mine = false;
    };
  }

  #add(caller: string, change: number): void {
    this.#all += change;
    const held = (this.#held.get(caller) ?? 0) + change;
    if (held === 0) this.#held.delete(caller);
    else this.#held.set(caller, held);
  }
}

const AGAIN = { retryAfterSeconds: 5 };
