import type { NfrxError } from "../../lib/errors.ts";
import type { AccessRecord } from "../http/access-log.ts";
import type { Ledger } from "./ledger.ts";

/** Statuses of requests that were not let in: nobody used anything. */
const REFUSED: ReadonlySet<number> = new Set([401, 429]);

/** Counts a request to workers or relays in the ledger, from the same record as its line in the access log. */
export function countUse(ledger: Ledger, record: AccessRecord, status: number, error: NfrxError | undefined): void {
  const { module, principal, usage } = record;
  if (module === undefined || principal === undefined || REFUSED.has(status)) return;
  ledger.add(
    {
      person: principal.person ?? principal.name,
      key: principal.key?.id ?? principal.name,
      module,
      // Only names that a worker serves: a caller must not be able to fill the store with names of its own.
      model: record.workerId === undefined ? "" : (record.servedModel ?? record.model ?? ""),
      worker: record.workerId ?? "",
    },
    {
      requests: 1,
      failures: status >= 500 ? 1 : 0,
      cancelled: error?.code === "canceled" ? 1 : 0,
      tokens_in: usage?.in ?? 0,
      tokens_out: usage?.out ?? 0,
      items: record.items,
      slot_ms: record.slotMs,
      bytes_in: record.bytesIn,
      bytes_out: record.bytesOut,
      energy_mwh: 0,
      estimated: record.estimated ? 1 : 0,
    },
  );
}
