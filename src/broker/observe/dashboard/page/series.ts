// The recent intervals of all modules as one. Pure.
import type { Recent } from "./state.ts";

export interface Series {
  intervalMs: number;
  /** When the last interval ended. */
  until: number;
  requests: number[];
  failed: number[];
  /** Tokens per second. */
  tokensIn: number[];
  tokensOut: number[];
  /** Milliseconds; null where nothing was answered. */
  firstByte: (number | null)[];
}

/** Sums over the modules; undefined if none reports values. First-byte times are weighted by requests. */
export function together(all: readonly (Recent | undefined)[], now: number): Series | undefined {
  const recents = all.filter(recent => recent !== undefined);
  const [first] = recents;
  if (first === undefined) return undefined;
  const length = Math.max(...recents.map(({ requests }) => requests.length));
  const seconds = first.interval_ms / 1000;
  const intervals = Array.from({ length }, (_, at) => at);
  // Each list ends with the same interval, wherever it begins.
  const at = <T>(list: readonly T[], index: number): T | undefined => list[index - length + list.length];
  const sum = (read: (recent: Recent) => readonly number[]): number[] =>
    intervals.map(index => recents.reduce((total, recent) => total + (at(read(recent), index) ?? 0), 0));
  const perSecond = (totals: number[]): number[] => totals.map(total => total / seconds);
  return {
    intervalMs: first.interval_ms,
    until: Date.parse(first.until ?? "") || now,
    requests: sum(({ requests }) => requests),
    failed: sum(({ failed }) => failed),
    tokensIn: perSecond(sum(recent => recent.input_tokens)),
    tokensOut: perSecond(sum(recent => recent.output_tokens)),
    firstByte: intervals.map(index => {
      let weights = 0;
      let total = 0;
      for (const recent of recents) {
        const ms = at(recent.first_byte_ms, index) ?? null;
        if (ms === null) continue;
        const weight = Math.max(1, at(recent.requests, index) ?? 1);
        weights += weight;
        total += ms * weight;
      }
      return weights === 0 ? null : total / weights;
    }),
  };
}
