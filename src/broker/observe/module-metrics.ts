// The metrics of a module, with Prometheus' library behind them.
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { DURATIONS } from "../../lib/series.ts";
import type { Labels, MetricSpec, ModuleMetrics } from "../../modules/module.ts";
import { BoundedLabel } from "./metrics.ts";

/** Metrics that one module may have. */
export const MODULE_METRICS_MAX = 100;

/** Gives a module its metrics. Each call throws for a name that is not the module's, or is taken. */
export class ModuleMeter implements ModuleMetrics {
  #count = 0;

  constructor(
    private readonly module: string,
    private readonly registry: Registry,
  ) {}

  counter(spec: MetricSpec): { add(labels?: Labels, by?: number): void } {
    if (!spec.name.endsWith("_total")) throw new Error(`the counter ${spec.name} must end in _total`);
    const counter = new Counter(this.#declare(spec));
    const bound = bounded(spec);
    return { add: (labels = {}, by = 1) => counter.inc(bound(labels), by) };
  }

  histogram(spec: MetricSpec & { readonly buckets?: readonly number[] }): {
    observe(value: number, labels?: Labels): void;
  } {
    const histogram = new Histogram({ ...this.#declare(spec), buckets: [...(spec.buckets ?? DURATIONS)] });
    const bound = bounded(spec);
    return { observe: (value, labels = {}) => histogram.observe(bound(labels), value) };
  }

  gauge(spec: MetricSpec, read: () => number): void {
    const gauge: Gauge = new Gauge({ ...this.#declare(spec), collect: () => gauge.set(read()) });
  }

  #declare({ name, help, labels = [] }: MetricSpec) {
    const prefix = `nfrx_${this.module.replaceAll("-", "_")}_`;
    if (!name.startsWith(prefix) || !/^[a-z0-9_]+$/.test(name))
      throw new Error(`the metric ${name} must begin with ${prefix}`);
    if (++this.#count > MODULE_METRICS_MAX) throw new Error(`more than ${MODULE_METRICS_MAX} metrics`);
    if (this.registry.getSingleMetric(name) !== undefined) throw new Error(`there is a metric ${name} already`);
    return { name, help, labelNames: [...labels], registers: [this.registry] };
  }
}

/** The labels as they are counted: each that is declared, with few enough values. */
function bounded({ labels = [] }: MetricSpec): (given: Labels) => Record<string, string> {
  const limits = labels.map(name => ({ name, limit: new BoundedLabel() }));
  return given => Object.fromEntries(limits.map(({ name, limit }) => [name, limit.of(given[name] ?? "")]));
}
