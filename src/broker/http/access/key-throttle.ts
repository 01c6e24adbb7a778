import { BoundedMap } from "../../../lib/bounded-map.ts";
import { NfrxError } from "../../../lib/errors.ts";
import { networkOf } from "../../../lib/network.ts";
import type { Clock } from "../../../lib/time.ts";

/** Wrong keys from one address within KEY_FAILURES_MS after which further ones get 429. */
export const KEY_FAILURES_MAX = 10;
/**
 * Period in milliseconds over which wrong keys of an address are counted. The count restarts after the same time
 * without one.
 */
export const KEY_FAILURES_MS = 60_000;
/** First Retry-After for an address with too many wrong keys, in milliseconds. It doubles with each further one. */
export const KEY_RETRY_MS = 2_000;
/** Longest Retry-After for an address with too many wrong keys, in milliseconds. */
export const KEY_RETRY_MAX_MS = 900_000;
/** Maximum number of addresses whose wrong keys are counted; the least recent one is dropped. */
export const KEY_ADDRESSES_MAX = 10_000;

/** The kinds of keys, as the metric names them. */
export type KeyKind = "api" | "client" | "admin" | "relay";

export interface KeyThrottleOptions {
  readonly clock: Clock;
  /** Counts a wrong key; `throttled` when its address had brought too many. */
  readonly onWrongKey: (kind: KeyKind, throttled: boolean) => void;
}

interface Failures {
  count: number;
  /** When they are forgotten. */
  until: number;
}

/**
 * Throttles guessing of keys. Keys are compared first and failures counted afterwards, so that a valid key always
 * works, whatever else its address sends.
 */
export class KeyThrottle {
  /** By address, or /64 network of IPv6. */
  readonly #failures = new BoundedMap<Failures>(KEY_ADDRESSES_MAX);

  constructor(private readonly options: KeyThrottleOptions) {}

  /** The error for a wrong key: `unauthorized`, or `too_many_attempts` once its address has brought too many. */
  wrongKey(kind: KeyKind, address: string): NfrxError {
    const wait = this.#count(networkOf(address));
    this.options.onWrongKey(kind, wait > 0);
    if (wait === 0) return unauthorized();
    const seconds = Math.ceil(wait / 1000);
    return new NfrxError("too_many_attempts", `too many wrong keys from this address: retry in ${seconds} s`, {
      retryAfterSeconds: seconds,
    });
  }

  /** Counts a failure; the milliseconds that its address has to wait, 0 when it need not. */
  #count(network: string): number {
    const now = this.options.clock.now();
    const known = this.#failures.get(network);
    const failures = known !== undefined && now < known.until ? known : { count: 0, until: now + KEY_FAILURES_MS };
    failures.count++;
    const excess = failures.count - KEY_FAILURES_MAX;
    const wait = excess > 0 ? Math.min(KEY_RETRY_MS * 2 ** Math.min(excess - 1, 30), KEY_RETRY_MAX_MS) : 0;
    if (wait > 0) failures.until = now + wait + KEY_FAILURES_MS;
    this.#failures.set(network, failures);
    return wait;
  }
}

/** The error for a request that is not let in. */
export function unauthorized(): NfrxError {
  return new NfrxError("unauthorized", "unauthorized");
}
