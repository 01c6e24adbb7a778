/** Time as it is passed in, so that tests can turn the hands. All values are milliseconds. */
export interface Clock {
  /** Monotonic; only differences mean anything. */
  now(): number;
  /** Milliseconds since the epoch, for output to people and peers. */
  wall(): number;
  /** Calls `run` once after `ms`. A pending timer does not keep the process alive when `background` is set. */
  after(ms: number, run: () => void, background?: boolean): Timer;
}

export interface Timer {
  cancel(): void;
}

/** A time of the clock's wall as RFC 3339 in UTC. */
export function isoTime(wall: number): string {
  return new Date(wall).toISOString();
}

/** setTimeout supports 31 bits; longer waits are cut to about 24 days and must be re-armed. */
const LONGEST = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run, background = false) {
    const handle = setTimeout(run, Math.min(ms, LONGEST));
    if (background) handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/** Calls `run` every `ms` until cancelled. The next turn is armed after the last one has run, so turns never overlap. */
export function every(clock: Clock, ms: number, run: () => void): Timer {
  let timer: Timer;
  const arm = (): void => {
    timer = clock.after(ms, turn, true);
  };
  const turn = (): void => {
    arm();
    run();
  };
  arm();
  return { cancel: () => timer.cancel() };
}

/**
 * Fires once when nothing has touched it for `ms`. Touching is a store, not a timer: the one timer re-arms itself for
 * the rest when it finds that it was touched in between. `ms` ≤ 0 never fires.
 */
export class IdleTimer {
  #last: number;
  #timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly ms: number,
    private readonly onIdle: () => void,
  ) {
    this.#last = clock.now();
    if (ms > 0) this.#arm(ms);
  }

  touch(): void {
    this.#last = this.clock.now();
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(wait: number): void {
    this.#timer = this.clock.after(wait, () => {
      const left = this.#last + this.ms - this.clock.now();
      if (left > 0) this.#arm(left);
      else this.onIdle();
    });
  }
}

/** Waits `ms`, or less when the signal aborts; never throws. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(ms, done);
    signal?.addEventListener("abort", done);
  });
}

/** The reconnect schedule of 0.9: 1 s ×3, 5 s ×3, 15 s ×3, then always 30 s. */
const RECONNECT_MS = [1000, 1000, 1000, 5000, 5000, 5000, 15000, 15000, 15000, 30000] as const;
/** Duration in milliseconds after which a connection resets the retry schedule. */
const SETTLED_MS = 60_000;

/** Wait in milliseconds after a refusal that a retry does not solve: wrong key, wrong path, ID in use. */
const REFUSED_MS = 300_000;

/** The wait before the next attempt, with ±20 % jitter so that a fleet does not reconnect in one wave. */
export class Backoff {
  #attempt = 0;

  constructor(private readonly random: () => number = Math.random) {}

  next(): number {
    return this.#jittered(RECONNECT_MS[Math.min(this.#attempt++, RECONNECT_MS.length - 1)] ?? 30000);
  }

  /** The same after a refusal that a person has to mend. */
  afterRefusal(): number {
    return this.#jittered(REFUSED_MS);
  }

  /** Reports the duration of the last connection. */
  held(ms: number): void {
    if (ms >= SETTLED_MS) this.#attempt = 0;
  }

  #jittered(ms: number): number {
    return ms * (0.8 + 0.4 * this.random());
  }
}
