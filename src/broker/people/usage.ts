// The quantities of the ledger.

/** The keys of a sum: person, key, module, model and worker. */
export interface UsageSeries {
  readonly person: string;
  /** The id of the key, or the name of a built-in principal. */
  readonly key: string;
  readonly module: string;
  /** The name by which the backend was asked; empty where there is no model. */
  readonly model: string;
  readonly worker: string;
}

/** The names of what can be summed up by. */
export const USAGE_FIELDS = [
  "person",
  "key",
  "module",
  "model",
  "worker",
] as const satisfies readonly (keyof UsageSeries)[];

/** Sums over requests that have ended. */
export interface UsageAmounts {
  requests: number;
  /** Answers with a status from 500. */
  failures: number;
  /** Requests whose caller went away. */
  cancelled: number;
  tokens_in: number;
  tokens_out: number;
  items: number;
  /** Milliseconds for which slots were held. */
  slot_ms: number;
  bytes_in: number;
  bytes_out: number;
  /** Thousandths of a watt-hour, where agents know them. */
  energy_mwh: number;
  /** Requests whose tokens were estimated because the backend did not count them. */
  estimated: number;
}

export const USAGE_AMOUNTS = [
  "requests",
  "failures",
  "cancelled",
  "tokens_in",
  "tokens_out",
  "items",
  "slot_ms",
  "bytes_in",
  "bytes_out",
  "energy_mwh",
  "estimated",
] as const satisfies readonly (keyof UsageAmounts)[];

/** The sums of one hour. */
export interface UsageRow extends UsageSeries, UsageAmounts {
  /** Hours since 1970. */
  readonly hour: number;
}

export const HOUR_MS = 3_600_000;

export function noUsage(): UsageAmounts {
  return {
    requests: 0,
    failures: 0,
    cancelled: 0,
    tokens_in: 0,
    tokens_out: 0,
    items: 0,
    slot_ms: 0,
    bytes_in: 0,
    bytes_out: 0,
    energy_mwh: 0,
    estimated: 0,
  };
}

/** Adds `more` to `sum`. */
export function addUsage(sum: UsageAmounts, more: UsageAmounts): void {
  for (const name of USAGE_AMOUNTS) sum[name] += more[name];
}
