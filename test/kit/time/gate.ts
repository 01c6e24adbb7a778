/** A promise with its two ends in hand. */
export function deferred<T = void>(): PromiseWithResolvers<T> {
  return Promise.withResolvers<T>();
}

/**
 * A counting latch. Closed at first: `wait` holds until the test gives a pass with `release`, one waiter per pass, first come first
 * served. Passes given early are kept. `open` lets everyone through from then on.
 */
export class Gate {
  readonly #waiters = new Set<() => void>();
  #passes = 0;

  /** How many wait at the gate right now. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Gives `n` passes. */
  release(n = 1): void {
    this.#passes += n;
    for (const pass of [...this.#waiters]) {
      if (this.#passes < 1) return;
      this.#passes--;
      pass();
    }
  }

  /** Lets everyone through, now and later. */
  open(): void {
    this.release(Number.POSITIVE_INFINITY);
  }

  /** Takes a pass or waits for one; rejects with the signal's reason when that aborts first. */
  wait(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#passes >= 1) {
      this.#passes--;
      return Promise.resolve();
    }
    const { promise, resolve, reject } = deferred();
    const settle = (end: () => void) => () => {
      this.#waiters.delete(pass);
      signal?.removeEventListener("abort", gone);
      end();
    };
    const pass = settle(resolve);
    const gone = settle(() => reject(signal?.reason));
    this.#waiters.add(pass);
    signal?.addEventListener("abort", gone, { once: true });
    return promise;
  }
}
