// Passive health checks from a worker's responses. Pure: the time is a parameter.

/** Consecutive failures after which a worker is paused, if they affect at least two callers. */
const REST_FAILURES = 2;
/** Consecutive failures after which a worker is paused, if they all affect one caller. */
export const REST_FAILURES_ONE_CALLER = 4;
/** First pause of a failing worker, in milliseconds. Each further pause is twice as long. */
export const REST_MS = 1_000;
/** Longest pause of a failing worker, in milliseconds. */
export const REST_MAX_MS = 60_000;

/** Outcome of a request for the worker's health; undefined if it says nothing. */
export type HealthVerdict = "ok" | "failed" | undefined;

/**
 * Whether a worker rests. It does after some failures of its own in a row. When a rest is over, one request at a time
 * probes the worker: a success ends the matter, a failure begins a rest of twice the length.
 */
export class Health {
  #failures = 0;
  #caller: string | undefined;
  #severalCallers = false;
  /** Length of the last rest; 0 while all is well. */
  #restMs = 0;
  #restsUntil = 0;
  #probing = false;

  /** True while nothing is wrong, which is all that most choices need to know. */
  get sound(): boolean {
    return this.#restMs === 0;
  }

  /** True while the worker should get no request that another worker can serve. */
  rests(now: number): boolean {
    return this.#restMs > 0 && (this.#probing || now < this.#restsUntil);
  }

  /** A request begins. Returns true when it is the probe after a rest. */
  begin(now: number): boolean {
    if (this.sound || this.rests(now)) return false;
    this.#probing = true;
    return true;
  }

  /** A request was served. Returns true when that ends a rest. */
  succeeded(): boolean {
    const ends = !this.sound;
    this.#failures = 0;
    this.#caller = undefined;
    this.#severalCallers = false;
    this.#restMs = 0;
    this.#probing = false;
    return ends;
  }

  /** A request failed by the worker's own fault. Returns the length of the rest that begins now, 0 for none. */
  failed(now: number, caller: string, probe: boolean): number {
    if (!this.sound) return probe ? this.#rest(now) : 0;
    this.#failures++;
    this.#severalCallers ||= this.#caller !== undefined && this.#caller !== caller;
    this.#caller ??= caller;
    const limit = this.#severalCallers ? REST_FAILURES : REST_FAILURES_ONE_CALLER;
    return this.#failures < limit ? 0 : this.#rest(now);
  }

  /** The probe had no result; the next request is one. */
  undecided(): void {
    this.#probing = false;
  }

  #rest(now: number): number {
    this.#probing = false;
    this.#restMs = Math.min(REST_MAX_MS, this.#restMs === 0 ? REST_MS : this.#restMs * 2);
    this.#restsUntil = now + this.#restMs;
    return this.#restMs;
  }
}

/** Status of a route that the backend does not have; it does not count as a failure. */
const NOT_IMPLEMENTED = 501;

/** Errors of a request that are the worker's own failure. */
const OWN_FAILURES: ReadonlySet<string> = new Set(["upstream_error", "timeout", "protocol"]);

/**
 * The verdict of an exchange on its worker's health: its status, as far as it has answered, and the code of the error that
 * ended the exchange early. A caller's mistake (4xx) and a limit (429) say nothing.
 */
export function verdictOf(status: number | undefined, errorCode: string | undefined): HealthVerdict {
  if (status !== undefined && status >= 500) return status === NOT_IMPLEMENTED ? undefined : "failed";
  if (errorCode !== undefined) return OWN_FAILURES.has(errorCode) ? "failed" : undefined;
  return status !== undefined && status < 400 ? "ok" : undefined;
}
