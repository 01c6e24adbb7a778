import type { NfrxError } from "../../lib/errors.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";

/** Counts a request that was not served: what users cause as refused, `internal` errors, which are ours, as unhandled. */
export function countRefusal(metrics: Pick<BrokerMetrics, "refused" | "unhandled">, error: NfrxError): void {
  if (error.code === "internal") metrics.unhandled();
  else metrics.refused(error.code);
}
