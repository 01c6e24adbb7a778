import type { Clock } from "../../lib/time.ts";

/** Maximum number of live values of a label from outside; further ones count as `other`. */
export const LABEL_VALUES_MAX = 500;
/** Time in milliseconds for which the series of a departed worker or model are kept: a day. */
export const SERIES_KEPT_MS = 86_400_000;

export interface LabelOptions {
  clock: Clock;
  /** True while the worker, or the model, is here. */
  isHere: (value: string) => boolean;
  /** Called when a value is let go, so that its series end. */
  onGone: (value: string) => void;
}

/**
 * The values of a label for items that come and go, such as workers and models. Values of present items stay; of absent
 * ones the oldest makes room for a new one, and each is dropped after SERIES_KEPT_MS.
 */
export class LiveLabel {
  /** When each was last here. Not a BoundedMap: a value that is here never makes room. */
  readonly #seen = new Map<string, number>();

  constructor(private readonly options: LabelOptions) {}

  has(value: string): boolean {
    return this.#seen.has(value);
  }

  /** The value itself, or `other` when there is no room for it. */
  of(value: string): string {
    if (this.#seen.has(value)) return value;
    if (this.#seen.size >= LABEL_VALUES_MAX && !this.#makeRoom()) return "other";
    this.#seen.set(value, this.options.clock.now());
    return value;
  }

  /** Lets those go that left long ago. */
  sweep(): void {
    const { clock, isHere } = this.options;
    const now = clock.now();
    for (const [value, seen] of this.#seen) {
      if (isHere(value)) this.#seen.set(value, now);
      else if (now - seen >= SERIES_KEPT_MS) this.#forget(value);
    }
  }

  #makeRoom(): boolean {
    this.sweep();
    const { isHere } = this.options;
    const gone = [...this.#seen].filter(([value]) => !isHere(value)).sort(([, a], [, b]) => a - b);
    const first = gone[0]?.[0];
    if (first !== undefined && this.#seen.size >= LABEL_VALUES_MAX) this.#forget(first);
    return this.#seen.size < LABEL_VALUES_MAX;
  }

  #forget(value: string): void {
    this.#seen.delete(value);
    this.options.onGone(value);
  }
}

/** Values of an open-ended label: the first LABEL_VALUES_MAX are used, the rest is `other`. */
export class BoundedLabel {
  readonly #seen = new Set<string>();

  of(value: string): string {
    if (this.#seen.has(value)) return value;
    if (this.#seen.size >= LABEL_VALUES_MAX) return "other";
    this.#seen.add(value);
    return value;
  }
}
