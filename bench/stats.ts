/** Percentiles and medians; nothing else is ever computed from samples. */

export interface Summary {
  count: number;
  p50: number;
  p99: number;
  max: number;
}

/** The value below which the share `q` (0…1) of the sorted samples lies (nearest rank). */
function percentile(sorted: readonly number[], q: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
}

export function summarize(samples: readonly number[]): Summary {
  const sorted = Float64Array.from(samples).sort();
  const view = Array.from(sorted);
  return {
    count: view.length,
    p50: percentile(view, 0.5),
    p99: percentile(view, 0.99),
    max: view.at(-1) ?? Number.NaN,
  };
}

/** The median; null without values. */
export function median(values: readonly number[]): number | null {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  if (upper === undefined) return null;
  const lower = sorted[(sorted.length - 1) >> 1] ?? upper;
  return (lower + upper) / 2;
}

/** The middle of the differences round by round: what drifts from round to round drifts in both and cancels out. */
export function medianAdded(own: readonly number[], base: readonly number[]): number | null {
  return median(own.map((value, round) => value - (base[round] ?? Number.NaN)));
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** a − b, or null when either is missing. */
export function minus(a: number | null | undefined, b: number | null | undefined): number | null {
  return a === null || a === undefined || b === null || b === undefined ? null : a - b;
}

/** a ÷ b, or null when either is missing or b is not above zero (an added time that drowned in noise). */
export function over(a: number | null | undefined, b: number | null | undefined): number | null {
  return a === null || a === undefined || b === null || b === undefined || b <= 0 ? null : a / b;
}
