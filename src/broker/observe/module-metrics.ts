// The metrics of a module.
import { DURATIONS, type Meters } from "../../lib/series.ts";
import type { Labels, MetricSpec, ModuleMetrics } from "../../modules/module.ts";
import { BoundedLabel } from "./labels.ts";

/** Maximum number of metrics per module. */
const MODULE_METRICS_MAX = 100;

/** Gives a module its metrics. Each call throws for a name that is not the module's, or is taken. */
export class ModuleMeter implements ModuleMetrics {
  #count = 0;

  constructor(
    private readonly module: string,
    private readonly meters: Meters,
  ) {}

  counter(spec: MetricSpec): { add(labels?: Labels, by?: number): void } {
    if (!spec.name.endsWith("_total")) throw new Error(`the counter ${spec.name} must end in _total`);
    const counter = this.meters.counter<string>(this.#nameOf(spec), spec.help, spec.labels);
    const bound = bounded(spec);
    return {
      add(labels = {}, by = 1) {
        if (!(by >= 0)) throw new Error(`the counter ${spec.name} cannot decrease`);
        counter.cell(bound(labels)).value += by;
      },
    };
  }

  histogram(spec: MetricSpec & { readonly buckets?: readonly number[] }): {
    observe(value: number, labels?: Labels): void;
  } {
    const buckets = spec.buckets ?? DURATIONS;
    const histogram = this.meters.histogram<string>(this.#nameOf(spec), spec.help, buckets, spec.labels);
    const bound = bounded(spec);
    return { observe: (value, labels = {}) => histogram.cell(bound(labels)).observe(value) };
  }

  gauge(spec: MetricSpec, read: () => number): void {
    this.meters.gauge(this.#nameOf(spec), spec.help).read(set => set({}, read()));
  }

  #nameOf({ name }: MetricSpec): string {
    const prefix = `nfrx_${this.module.replaceAll("-", "_")}_`;
    if (!name.startsWith(prefix) || !/^[a-z0-9_]+$/.test(name))
      throw new Error(`the metric ${name} must begin with ${prefix}`);
    if (++this.#count > MODULE_METRICS_MAX) throw new Error(`more than ${MODULE_METRICS_MAX} metrics`);
    return name;
  }
}

/** The labels as they are counted: each that is declared, with few enough values. */
function bounded({ labels = [] }: MetricSpec): (given: Labels) => Record<string, string> {
  const limits = labels.map(name => ({ name, limit: new BoundedLabel() }));
  return given => Object.fromEntries(limits.map(({ name, limit }) => [name, limit.of(given[name] ?? "")]));
}
