// Times as people write them on a command line.
import { parseDuration } from "../../config/duration.ts";
import { UsageError } from "./usage-error.ts";

/** Milliseconds of a period such as `90d`, `2w` or `24h`. Throws a `UsageError` that names the flag. */
export function periodOf(text: string, flag: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0) throw new UsageError(`--${flag}: "${text}" is not a period such as 90d, 2w or 24h`);
  return ms;
}

/** A time that is a date or RFC 3339, or a period counted from `now` in the direction that `sign` gives. */
export function timeOf(text: string, flag: string, now: number, sign: 1 | -1): number {
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    const time = Date.parse(text);
    if (!Number.isNaN(time)) return time;
  }
  return now + sign * periodOf(text, flag);
}
