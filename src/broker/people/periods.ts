// The periods in which the use of a key is counted.

const SECOND_MS = 1_000;
const WINDOW_SECONDS = 60;

/** Use in the last 60 seconds, counted by the second, in constant memory. */
export class SlidingMinute {
  readonly #amounts = new Float64Array(WINDOW_SECONDS);
  /** The last second that was counted. */
  #second = 0;
  #sum = 0;

  add(amount: number, wall: number): void {
    this.#advance(wall);
    const at = this.#second % WINDOW_SECONDS;
    this.#amounts[at] = (this.#amounts[at] ?? 0) + amount;
    this.#sum += amount;
  }

  /** Takes back one that was added at `then`; does nothing when that second has left the window. */
  takeBack(then: number, wall: number): void {
    this.#advance(wall);
    const second = Math.floor(then / SECOND_MS);
    if (this.#second - second >= WINDOW_SECONDS) return;
    const at = second % WINDOW_SECONDS;
    if ((this.#amounts[at] ?? 0) < 1) return;
    this.#amounts[at] = (this.#amounts[at] ?? 0) - 1;
    this.#sum--;
  }

  used(wall: number): number {
    this.#advance(wall);
    return this.#sum;
  }

  /** Whole seconds until less than `max` is used, when nothing is added; 0 when that is so now. */
  secondsUntilBelow(max: number, wall: number): number {
    this.#advance(wall);
    let left = this.#sum;
    for (let wait = 0; wait < WINDOW_SECONDS; wait++) {
      if (left < max) return wait;
      // The second that leaves the window next.
      left -= this.#amounts[(this.#second + 1 + wait) % WINDOW_SECONDS] ?? 0;
    }
    return WINDOW_SECONDS;
  }

  /** A clock that was put back does not bring back what has left the window. */
  #advance(wall: number): void {
    const second = Math.floor(wall / SECOND_MS);
    const steps = Math.min(second - this.#second, WINDOW_SECONDS);
    for (let step = 1; step <= steps; step++) {
      const at = (this.#second + step) % WINDOW_SECONDS;
      this.#sum -= this.#amounts[at] ?? 0;
      this.#amounts[at] = 0;
    }
    if (steps >= WINDOW_SECONDS) {
      this.#amounts.fill(0);
      this.#sum = 0;
    }
    if (second > this.#second) this.#second = second;
  }
}

export type Calendar = "day" | "month";

/** When the UTC day or month of a time began, in milliseconds since 1970. */
export function startOf(period: Calendar, wall: number): number {
  const date = new Date(wall);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), period === "day" ? date.getUTCDate() : 1);
}

/** When it ends: the start of the next one. */
export function endOf(period: Calendar, wall: number): number {
  const date = new Date(wall);
  return period === "day"
    ? Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate() + 1)
    : Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

/** Use since the current UTC day or month began. */
export class CalendarCount {
  #endsAt = 0;
  #sum = 0;

  constructor(private readonly period: Calendar) {}

  add(amount: number, wall: number): void {
    this.#advance(wall);
    this.#sum += amount;
  }

  used(wall: number): number {
    this.#advance(wall);
    return this.#sum;
  }

  #advance(wall: number): void {
    if (wall < this.#endsAt) return;
    this.#endsAt = endOf(this.period, wall);
    this.#sum = 0;
  }
}
