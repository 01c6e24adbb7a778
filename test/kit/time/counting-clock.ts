import { type Clock, systemClock, type Timer } from "../../../src/lib/time.ts";
import { Changes } from "./until.ts";

/** The system's clock, which knows how many of its timers are pending. */
export class CountingClock implements Clock {
  /** Timers that have neither fired nor been cancelled. */
  live = 0;
  readonly #changes = new Changes();

  now(): number {
    return systemClock.now();
  }

  wall(): number {
    return systemClock.wall();
  }

  after(ms: number, run: () => void, background?: boolean): Timer {
    let pending = true;
    const settle = (): void => {
      if (!pending) return;
      pending = false;
      this.live--;
      // When whoever cancelled it is done with the rest, too.
      setImmediate(() => this.#changes.notify());
    };
    this.live++;
    const fire = (): void => {
      settle();
      run();
    };
    const timer = systemClock.after(ms, fire, background);
    return {
      cancel: () => {
        settle();
        timer.cancel();
      },
    };
  }

  /** Resolves once `holds` does; asked again after every timer that fires or is cancelled. */
  when(holds: () => boolean, what: string | (() => string), ms?: number): Promise<void> {
    return this.#changes.when(holds, what, ms);
  }
}
