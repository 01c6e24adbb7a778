import type { Cell, Meters } from "./series.ts";

/** Outcomes of spans. */
export type SpanCounts = Record<"exported" | "failed" | "dropped", Cell>;

/** Declares the counter of them, which stays at zero where no traces are made. */
export function declareSpans(meters: Meters): SpanCounts {
  const counter = meters.counter("nfrx_trace_spans_total", "Spans by outcome.", ["outcome"]);
  return {
    exported: counter.cell({ outcome: "exported" }),
    failed: counter.cell({ outcome: "failed" }),
    dropped: counter.cell({ outcome: "dropped" }),
  };
}
