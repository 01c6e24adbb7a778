import { NfrxError } from "./errors.ts";
import type { Clock } from "./time.ts";

/**
 * Counts the work that a shutdown waits for, and rejects new work while draining. Every `enter` is paired with one call
 * of the function that it returns.
 */
export class Drain {
  #inflight = 0;
  #draining = false;
  #idle: PromiseWithResolvers<void> | undefined;
  readonly #beginners: (() => void)[] = [];

  get inflight(): number {
    return this.#inflight;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Registers one unit of work. Throws `draining` while draining. */
  enter(): () => void {
    if (this.#draining) throw new NfrxError("draining", "draining", { retryAfterSeconds: 10 });
    return this.join();
  }

  /** Registers work that belongs to an accepted request: it is never rejected. */
  join(): () => void {
    this.#count(1);
    let inside = true;
    return () => {
      if (inside) this.#count(-1);
      inside = false;
    };
  }

  /** Adds work that is counted elsewhere; `count` returns its amount. */
  level(): (count: number) => void {
    let known = 0;
    return count => {
      const change = count - known;
      known = count;
      this.#count(change);
    };
  }

  begin(): void {
    if (this.#draining) return;
    this.#draining = true;
    for (const run of this.#beginners) run();
  }

  /** Calls `run` when draining begins. */
  onBegin(run: () => void): void {
    this.#beginners.push(run);
  }

  /** Accepts work again. */
  end(): void {
    this.#draining = false;
  }

  /**
   * Rejects new work and waits for running work, at most `timeoutMs`: 0 does not wait, Infinity waits indefinitely.
   * True if all of it finished.
   */
  async finish(clock: Clock, timeoutMs: number): Promise<boolean> {
    this.begin();
    if (this.#inflight === 0 || timeoutMs <= 0) return this.#inflight === 0;
    this.#idle ??= Promise.withResolvers();
    const timeout = Promise.withResolvers<false>();
    const timer = Number.isFinite(timeoutMs) ? clock.after(timeoutMs, () => timeout.resolve(false)) : undefined;
    const finished = await Promise.race([this.#idle.promise.then(() => true), timeout.promise]);
    timer?.cancel();
    return finished;
  }

  #count(change: number): void {
    this.#inflight += change;
    if (this.#inflight > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}
