import { NfrxError } from "../lib/errors.ts";

/**
 * Counts the work that a shutdown waits for, and turns new work away once the drain has begun. Every `enter` is paired
 * with one call of the function it returns.
 */
export class Drain {
  #inflight = 0;
  #draining = false;
  #idle: PromiseWithResolvers<void> | undefined;

  get inflight(): number {
    return this.#inflight;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Counts one piece of work in. Throws `draining` once the drain has begun. */
  enter(): () => void {
    if (this.#draining) throw new NfrxError("draining", "draining", { retryAfterSeconds: 10 });
    this.#inflight++;
    let inside = true;
    return () => {
      if (!inside) return;
      inside = false;
      this.#inflight--;
      if (this.#inflight === 0) this.#idle?.resolve();
    };
  }

  begin(): void {
    this.#draining = true;
  }

  /** Takes work again. */
  end(): void {
    this.#draining = false;
  }

  /** Resolves once nothing is in flight. */
  idle(): Promise<void> {
    if (this.#inflight === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers();
    return this.#idle.promise;
  }
}
