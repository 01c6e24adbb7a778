// Questions to the ledger: as the API takes them, and as it answers.
import { z } from "zod";
import { NfrxError } from "../../lib/errors.ts";
import type { UsageQuery, UsageSum } from "./store.ts";
import { HOUR_MS, USAGE_AMOUNTS, USAGE_FIELDS } from "./usage.ts";

const DAY_MS = 24 * HOUR_MS;
const DEFAULT_DAYS = 30;
const FIELDS = [...USAGE_FIELDS, "day", "hour"] as const;

/** Reads `by`, `since` and `until`. Throws `invalid_request` naming the parameter. */
export function usageQueryOf(search: URLSearchParams, now: number): UsageQuery {
  const by = (search.get("by") ?? "person,model").split(",").filter(name => name !== "");
  const fields = z.array(z.enum(FIELDS)).safeParse(by);
  if (!fields.success) throw wrong("by", `must be a list of ${FIELDS.join(", ")}`);
  if (by.includes("day") && by.includes("hour")) throw wrong("by", "takes one of day and hour");
  const since = timeOf(search, "since") ?? now - DEFAULT_DAYS * DAY_MS;
  const until = timeOf(search, "until") ?? now + 1;
  return { by: [...new Set(fields.data)], since, until };
}

function timeOf(search: URLSearchParams, name: string): number | undefined {
  const text = search.get(name);
  if (text === null) return undefined;
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw wrong(name, "must be a date or an RFC 3339 time");
  return time;
}

function wrong(param: string, message: string): NfrxError {
  return new NfrxError("invalid_request", `${param} ${message}`, { param });
}

/** A sum as the API shows it. */
export function showSum(
  { time, slot_ms, energy_mwh, ...rest }: UsageSum,
  by: UsageQuery["by"],
): Record<string, string | number> {
  const start = time === undefined ? undefined : new Date(time).toISOString();
  return {
    ...(start !== undefined && (by.includes("hour") ? { hour: start } : { day: start.slice(0, 10) })),
    ...rest,
    slot_seconds: slot_ms / 1_000,
    energy_wh: energy_mwh / 1_000,
  };
}

const COLUMNS = [
  ...USAGE_AMOUNTS.filter(name => name !== "slot_ms" && name !== "energy_mwh"),
  "slot_seconds",
  "energy_wh",
];

/** The same as CSV (RFC 4180), with a head. A cell that a spreadsheet would take for a formula begins with an apostrophe. */
export function csvOf(sums: readonly UsageSum[], by: UsageQuery["by"]): string {
  const names = [...by, ...COLUMNS];
  const lines = sums.map(sum => {
    const shown = showSum(sum, by);
    return names.map(name => cell(shown[name] ?? "")).join(",");
  });
  return `${[names.join(","), ...lines].join("\r\n")}\r\n`;
}

function cell(value: string | number): string {
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
