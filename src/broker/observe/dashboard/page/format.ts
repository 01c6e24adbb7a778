// Numbers and times as people read them.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** A whole number: 12,345, and 1.23M from a hundred thousand on. */
export function count(value: number): string {
  return Math.abs(value) < 100_000 ? grouped.format(value) : compact.format(value);
}

/** Something a second, with one decimal while it is small. */
export function rate(value: number): string {
  return value < 100 ? fine.format(value) : count(value);
}

/** A time span in its two largest units: `830 ms`, `4.2 s`, `3 min 20 s`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${fine.format(ms / 1000)} s`;
  const seconds = Math.floor(ms / 1000);
  for (const [at, [name, length]] of UNITS.entries()) {
    if (seconds < length) continue;
    const [smaller, part] = UNITS[at + 1] ?? ["", 0];
    const rest = part === 0 ? 0 : Math.floor((seconds % length) / part);
    return `${Math.floor(seconds / length)} ${name}${rest > 0 ? ` ${rest} ${smaller}` : ""}`;
  }
  return "0 s";
}

const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ["d", 86_400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** How long ago a moment was, in one unit; empty for none. */
export function age(moment: string | undefined, now: number): string {
  const at = Date.parse(moment ?? "");
  if (Number.isNaN(at)) return "";
  const ms = now - at;
  return ms < 1000 ? "now" : `${duration(Math.floor(ms / 1000) * 1000)} ago`;
}

/** The time of day, in the reader's zone. */
export function timeOfDay(wall: number): string {
  return new Date(wall).toLocaleTimeString("en-GB");
}

/** `1 worker`, `2 workers`. */
export function plural(amount: number, thing: string): string {
  return `${count(amount)} ${thing}${amount === 1 ? "" : "s"}`;
}
