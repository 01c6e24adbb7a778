// The limits that a key can have, and how they are written.

/** Every limit, as commands, the API and the YAML name it. */
export const LIMIT_NAMES = [
  "requests/min",
  "tokens/min",
  "concurrent",
  "tokens/day",
  "tokens/month",
  "slot-seconds/day",
] as const;

export type LimitName = (typeof LIMIT_NAMES)[number];

/**
 * A hard limit refuses a request with 429. Beyond a soft limit a request waits behind those of callers that are within
 * theirs; while nobody else waits it is not slowed down.
 */
export interface Limit {
  readonly name: LimitName;
  /** At least 1. */
  readonly max: number;
  readonly kind: "hard" | "soft";
}

/** A change of one limit: `undefined` removes it. */
export interface LimitChange {
  readonly name: LimitName;
  readonly limit: Limit | undefined;
}

const UNITS: Readonly<Record<string, number>> = { "": 1, k: 1_000, M: 1_000_000 };
const WRITTEN = /^(\d+(?:\.\d+)?)([kM]?)(:soft)?$/;

/**
 * Reads `NAME=N[k|M][:soft]` or `NAME=none`, such as `tokens/day=100k`. Throws an error that names what is wrong.
 */
export function parseLimit(text: string): LimitChange {
  const at = text.indexOf("=");
  const name = LIMIT_NAMES.find(known => known === text.slice(0, Math.max(at, 0)));
  if (at < 0 || name === undefined)
    throw new Error(`"${text}" is not NAME=N, with NAME one of ${LIMIT_NAMES.join(", ")}`);
  const value = text.slice(at + 1);
  if (value === "none") return { name, limit: undefined };
  const [, digits, unit = "", soft] = WRITTEN.exec(value) ?? [];
  const max = Number(digits) * (UNITS[unit] ?? Number.NaN);
  if (!Number.isSafeInteger(max) || max < 1)
    throw new Error(`${name}: "${value}" is not a whole number from 1, such as 500, 100k or 2M, or none`);
  return { name, limit: { name, max, kind: soft === undefined ? "hard" : "soft" } };
}

/** The limits after a change, in the order of LIMIT_NAMES. */
export function changeLimits(limits: readonly Limit[], changes: readonly LimitChange[]): Limit[] {
  const found = new Map(limits.map(limit => [limit.name, limit]));
  for (const { name, limit } of changes) {
    if (limit === undefined) found.delete(name);
    else found.set(name, limit);
  }
  return LIMIT_NAMES.flatMap(name => found.get(name) ?? []);
}

/** Writes a limit the way `parseLimit` reads it. */
export function formatLimit({ name, max, kind }: Limit): string {
  const unit = max % 1_000_000 === 0 ? "M" : max % 1_000 === 0 ? "k" : "";
  return `${name}=${max / (UNITS[unit] ?? 1)}${unit}${kind === "soft" ? ":soft" : ""}`;
}
