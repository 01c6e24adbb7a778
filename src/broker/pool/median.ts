/** Each bucket ends this many times further than the one before it: a median is known to about 3 %. */
const STEP = 1.06;
/** Where the first bucket ends, in milliseconds. */
const FIRST_MS = 0.1;
// Sufficient for ten minutes; longer times count as that.
const BUCKETS = 270;

/** The median of times, in a table of fixed size however many there are. */
export class Median {
  readonly #counts = new Uint32Array(BUCKETS);
  #count = 0;

  add(ms: number): void {
    const at = ms <= FIRST_MS ? 0 : Math.ceil(Math.log(ms / FIRST_MS) / Math.log(STEP));
    const bucket = Math.min(at, BUCKETS - 1);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count++;
  }

  /** The median in milliseconds of all since it was last taken, to three digits; undefined when there was none. */
  take(): number | undefined {
    if (this.#count === 0) return undefined;
    const half = (this.#count + 1) >> 1;
    let below = 0;
    let bucket = 0;
    for (; bucket < BUCKETS - 1; bucket++) {
      below += this.#counts[bucket] ?? 0;
      if (below >= half) break;
    }
    this.#counts.fill(0);
    this.#count = 0;
    // The middle of the bucket.
    return Number((FIRST_MS * STEP ** (bucket - 0.5)).toPrecision(3));
  }
}
