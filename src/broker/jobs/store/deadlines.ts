import type { Clock, Timer } from "../../../lib/time.ts";

/**
 * Deadlines that are checked per millisecond. The timer spaces its runs so that they use only a fraction of the time.
 */
const LOOK_PER_MS = 1000;

/** Deadlines by name, with one shared timer, which may be slightly late if there are many. */
export class Deadlines {
  readonly #due = new Map<string, number>();
  #timer: Timer | undefined;
  #armed = Number.POSITIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly onDue: (name: string) => void,
  ) {}

  get size(): number {
    return this.#due.size;
  }

  has(name: string): boolean {
    return this.#due.has(name);
  }

  /** Sets or moves a deadline. Moving it back is a store; the timer then finds that it came early. */
  set(name: string, ms: number): void {
    const at = this.clock.now() + ms;
    this.#due.set(name, at);
    if (at < this.#armed) this.#arm(at);
  }

  delete(name: string): void {
    this.#due.delete(name);
    if (this.#due.size === 0) this.close();
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armed = Number.POSITIVE_INFINITY;
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    this.#armed = at;
    this.#timer = this.clock.after(Math.max(0, at - this.clock.now()), () => this.#look(), true);
  }

  #look(): void {
    this.close();
    const now = this.clock.now();
    const due: string[] = [];
    let first = Number.POSITIVE_INFINITY;
    for (const [name, at] of this.#due) {
      if (at <= now) due.push(name);
      else if (at < first) first = at;
    }
    for (const name of due) this.#due.delete(name);
    if (first !== Number.POSITIVE_INFINITY) this.#arm(Math.max(first, now + Math.floor(this.#due.size / LOOK_PER_MS)));
    for (const name of due) this.onDue(name);
  }
}
