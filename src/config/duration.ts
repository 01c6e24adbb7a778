const UNIT_MS = new Map([
  ["ms", 1],
  ["s", 1_000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
  ["w", 604_800_000],
]);
/** The units that durations are written in, the largest first. */
const WRITTEN = ["h", "m", "s", "ms"];

/** Maximum duration of an option: a JavaScript timer overflows at 2^31 ms and fires immediately. */
export const LONGEST_MS = 24 * 24 * 3_600_000;

/** Parses `5m`, `1m30s`, `250ms`, `1.5s`, `90d`, `2w` or `0` to milliseconds; undefined for other texts. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)) {
    total += Number(amount) * (UNIT_MS.get(unit ?? "") ?? Number.NaN);
  }
  // Rounds up, because a tiny positive duration must not become 0, which often means "off".
  return Math.ceil(total);
}

/** Formats milliseconds for `parseDuration`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0";
  let left = ms;
  let text = "";
  for (const unit of WRITTEN) {
    const size = UNIT_MS.get(unit) ?? Number.NaN;
    const amount = Math.floor(left / size);
    left -= amount * size;
    if (amount > 0) text += `${amount}${unit}`;
  }
  return text;
}
