import type { Clock, Timer } from "../lib/time.ts";
import { FREE_REPORT_MS } from "../protocol/limits.ts";
import type { Stream } from "../protocol/stream.ts";

/** The slots of an agent, held by streams of all its links. A stream gives its slot back when it is over. */
export class AgentSlots {
  #taken = 0;

  constructor(
    private readonly max: number,
    private readonly onChange: () => void,
  ) {}

  get free(): number {
    return this.max - this.#taken;
  }

  /** Takes a slot for a stream that is open; false when none is free. */
  take(stream: Stream): boolean {
    if (this.free <= 0) return false;
    this.#taken++;
    this.onChange();
    stream.onClose(() => {
      this.#taken--;
      this.onChange();
    });
    return true;
  }
}

/**
 * Reports to one broker how many slots are free, at most once in FREE_REPORT_MS. From none to some is reported at once; the
 * next report then waits twice as long, so that short requests at a busy agent do not exceed CONTROL_MAX.
 */
export class FreeSlotsReport {
  /** The last report to the broker. */
  #reported: number | undefined;
  #pause: { readonly timer: Timer; readonly urgent: boolean } | undefined;
  #planned = false;
  #closed = false;

  constructor(
    private readonly clock: Clock,
    private readonly free: () => number,
    private readonly send: (free: number) => void,
  ) {}

  /** The number may have changed. What has been sent to the broker before this call reaches it before the report. */
  changed(): void {
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      this.#report();
    });
  }

  /** A request of this broker was refused, by which it knows that no slot is free. */
  refused(): void {
    this.#reported = 0;
  }

  close(): void {
    this.#closed = true;
    this.#pause?.timer.cancel();
  }

  #report(): void {
    const free = this.free();
    if (this.#closed || free === this.#reported) return;
    const urgent = this.#reported === 0;
    // It is looked at again when the pause is over.
    if (this.#pause !== undefined && (!urgent || this.#pause.urgent)) return;
    this.#pause?.timer.cancel();
    this.#reported = free;
    this.send(free);
    const over = (): void => {
      this.#pause = undefined;
      this.#report();
    };
    this.#pause = { timer: this.clock.after(urgent ? 2 * FREE_REPORT_MS : FREE_REPORT_MS, over, true), urgent };
  }
}
