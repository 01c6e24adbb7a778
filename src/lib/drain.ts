import { NfrxError } from "./errors.ts";
import type { Clock } from "./time.ts";

/**
 * Counts the work that a shutdown waits for, and turns new work away once the drain has begun. Every `enter` is paired
 * with one call of the function it returns.
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

  /** Counts one piece of work in. Throws `draining` once the drain has begun. */
  enter(): () => void {
    if (this.#draining) throw new NfrxError("draining", "draining", { retryAfterSeconds: 10 });
    return this.join();
  }

  /** Counts in a piece of work that belongs to what was let in before: it is never turned away. */
  join(): () => void {
    this.#count(1);
    let inside = true;
    return () => {
      if (inside) this.#count(-1);
      inside = false;
    };
  }

  /** Counts in work that is counted elsewhere; the function is told how much of it there is. */
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

  /** Calls `run` when a drain begins. */
  onBegin(run: () => void): void {
    this.#beginners.push(run);
  }

  /** Takes work again. */
  end(): void {
    this.#draining = false;
  }

  /**
   * Takes no new work and waits for what is in flight, at most `timeoutMs`: 0 does not wait, Infinity waits for ever. True
   * when all of it finished.
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
