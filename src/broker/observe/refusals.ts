import type { NfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { BrokerMetrics } from "./metrics.ts";

/** Where a request that was not served is told of. */
export interface Reports {
  readonly log: Logger;
  readonly metrics: Pick<BrokerMetrics, "refused" | "unhandled">;
}

/** Logs and counts a request that was not served: what users cause as refused, `internal` errors, which are ours, with their cause. */
export function reportRefusal({ log, metrics }: Reports, error: NfrxError, about: object): void {
  const fields = { ...about, error_code: error.code };
  const { cause } = error.detail;
  if (error.code === "internal") {
    metrics.unhandled();
    log.error({ ...fields, cause: String(cause) }, "request failed");
  } else {
    metrics.refused(error.code);
    log.warn(
      { ...fields, error: error.message, ...(cause !== undefined && { cause: String(cause) }) },
      "request refused",
    );
  }
}
