import type { ErrorCode, NfrxError } from "../../lib/errors.ts";

/** Where requests are counted that were not served. */
export interface RefusalMetrics {
  refused(code: ErrorCode): void;
  unhandled(): void;
}

/** Counts a rejected request: errors of callers as refused, `internal` errors as unhandled. */
export function countRefusal(metrics: RefusalMetrics, error: NfrxError): void {
  if (error.code === "internal") metrics.unhandled();
  else metrics.refused(error.code);
}
