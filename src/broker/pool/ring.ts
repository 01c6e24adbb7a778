/** Sums over the last few time intervals, driven by the clock alone: nothing runs while idle. */
export class Ring {
  readonly #sums: Float64Array;
  #current: number;

  constructor(
    /** Numbers kept for an interval. */
    private readonly columns: number,
    /** Number of complete intervals; the current one is additional. */
    readonly intervals: number,
    readonly intervalMs: number,
    now: number,
  ) {
    this.#sums = new Float64Array(columns * (intervals + 1));
    this.#current = this.#slotAt(now);
  }

  /** True if `now` is in the current interval. */
  isCurrent(now: number): boolean {
    return this.#slotAt(now) <= this.#current;
  }

  /** Begins the interval of `now`; those before it that saw nothing are zeros. */
  advance(now: number): void {
    const slot = this.#slotAt(now);
    const first = Math.max(this.#current + 1, slot - this.intervals);
    for (let at = first; at <= slot; at++) {
      const from = this.#offset(at);
      this.#sums.fill(0, from, from + this.columns);
    }
    if (slot > this.#current) this.#current = slot;
  }

  /** Adds to the current interval. */
  add(column: number, value: number): void {
    const at = this.#offset(this.#current) + column;
    this.#sums[at] = (this.#sums[at] ?? 0) + value;
  }

  /** One number of every complete interval, oldest first. */
  read(column: number): number[] {
    const values: number[] = [];
    for (let at = this.#current - this.intervals; at < this.#current; at++)
      values.push(this.#sums[this.#offset(at) + column] ?? 0);
    return values;
  }

  /** The sum over all intervals, the current one included. */
  sum(column: number): number {
    let sum = 0;
    for (let at = column; at < this.#sums.length; at += this.columns) sum += this.#sums[at] ?? 0;
    return sum;
  }

  /** When the last complete interval ended, by the clock that is passed in. */
  get end(): number {
    return this.#current * this.intervalMs;
  }

  #slotAt(now: number): number {
    return Math.floor(now / this.intervalMs);
  }

  #offset(slot: number): number {
    const places = this.intervals + 1;
    return (((slot % places) + places) % places) * this.columns;
  }
}
