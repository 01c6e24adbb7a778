// The metrics of a process. A series is looked up once and its cell is kept, so that counting costs an addition;
// Prometheus' library knows the metrics and writes them out (prometheus.ts).
import { Registry } from "prom-client";
import { type Declaration, register, type Value } from "./prometheus.ts";

export type { Declaration };

/** Series of one metric at most; what comes beyond is counted in one whose labels are all `other`. */
const SERIES_MAX = 5_000;

type Labels<L extends string> = Readonly<Record<L, string>>;

/** One metric: its series by their labels. */
abstract class Metric<L extends string, C> implements Declaration {
  readonly #series = new Map<string, { labels: Labels<string>; cell: C }>();

  constructor(
    readonly type: Declaration["type"],
    readonly name: string,
    readonly help: string,
    readonly labelNames: readonly L[],
    private readonly make: () => C,
  ) {
    // One that has no labels is at zero from the start.
    if (labelNames.length === 0) this.#open("", () => "");
  }

  /** The series with these labels; a new one begins at zero. */
  cell(labels: Labels<L>): C {
    let key = "";
    for (const name of this.labelNames) key += `${labels[name]}\n`;
    const known = this.#series.get(key);
    if (known !== undefined) return known.cell;
    if (this.#series.size < SERIES_MAX) return this.#open(key, name => labels[name]);
    const rest = "other\n".repeat(this.labelNames.length);
    return this.#series.get(rest)?.cell ?? this.#open(rest, () => "other");
  }

  /** Ends the series in which the label has this value. */
  forget(label: string, value: string): void {
    for (const name of this.labelNames) {
      if (name !== label) continue;
      for (const [key, { labels }] of this.#series) if (labels[name] === value) this.#series.delete(key);
    }
  }

  /** What it shows now. */
  async values(): Promise<Value[]> {
    await this.collect();
    return [...this.#series.values()].flatMap(({ labels, cell }) => this.show(labels, cell));
  }

  protected clear(): void {
    this.#series.clear();
  }

  /** Brings the series up to date. */
  protected async collect(): Promise<void> {}

  protected abstract show(labels: Labels<string>, cell: C): Value[];

  #open(key: string, label: (name: L) => string): C {
    const labels = Object.fromEntries(this.labelNames.map(name => [name, label(name)]));
    const cell = this.make();
    this.#series.set(key, { labels, cell });
    return cell;
  }
}

/** A counter or a gauge. */
export class Numbers<L extends string> extends Metric<L, Cell> {
  #read: Reader<L> | undefined;

  constructor(type: "counter" | "gauge", name: string, help: string, labelNames: readonly L[]) {
    super(type, name, help, labelNames, () => ({ value: 0 }));
  }

  /** Has its series read whenever somebody looks, instead of counted. A gauge has no others than those read. */
  read(read: Reader<L>): void {
    this.#read = read;
  }

  protected override async collect(): Promise<void> {
    if (this.#read === undefined) return;
    const found: [Labels<L>, number][] = [];
    await this.#read((labels, value) => void found.push([labels, value]));
    if (this.type === "gauge") this.clear();
    for (const [labels, value] of found) this.cell(labels).value = value;
  }

  protected show(labels: Labels<string>, { value }: Cell): Value[] {
    return [{ labels, value }];
  }
}

/** One series' number. */
export interface Cell {
  value: number;
}

/** Says what the series of a metric are now. */
export type Reader<L extends string> = (set: (labels: Labels<L>, value: number) => void) => void | Promise<void>;

/** One histogram series: how many observations fell into each bucket. */
export class Distribution {
  readonly counts: Float64Array;
  sum = 0;

  constructor(private readonly bounds: readonly number[]) {
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const { bounds, counts } = this;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    counts[at]!++;
    this.sum += value;
  }
}

/** A histogram whose series are distributions. */
export class Histogram<L extends string> extends Metric<L, Distribution> {
  constructor(
    name: string,
    help: string,
    readonly buckets: readonly number[],
    labelNames: readonly L[],
  ) {
    super("histogram", name, help, labelNames, () => new Distribution(buckets));
  }

  protected show(labels: Labels<string>, { counts, sum }: Distribution): Value[] {
    let total = 0;
    const buckets = [...this.buckets, "+Inf"].map((le, at) => {
      total += counts[at] ?? 0;
      return { metricName: `${this.name}_bucket`, labels: { ...labels, le }, value: total };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: total },
    ];
  }
}

/** Every metric of a process, each declared once; their pages and their text follow from that. */
export class Meters {
  readonly #registry = new Registry();
  readonly #metrics: Known[] = [];

  counter<L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Numbers<L> {
    return this.#add(new Numbers("counter", name, help, labelNames));
  }

  gauge<L extends string = never>(name: string, help: string, labelNames: readonly L[] = []): Numbers<L> {
    return this.#add(new Numbers("gauge", name, help, labelNames));
  }

  histogram<L extends string = never>(
    name: string,
    help: string,
    buckets: readonly number[],
    labelNames: readonly L[] = [],
  ): Histogram<L> {
    return this.#add(new Histogram(name, help, buckets, labelNames));
  }

  /** What has been declared, in that order. */
  get declared(): readonly Declaration[] {
    return this.#metrics;
  }

  /** Ends every series in which the label has this value. */
  forget(label: string, value: string): void {
    for (const metric of this.#metrics) metric.forget(label, value);
  }

  /** What GET /metrics answers. A metric that cannot be read now is shown without values, so that the others are seen. */
  async response(): Promise<Response> {
    const { contentType } = this.#registry;
    return new Response(await this.#registry.metrics(), { headers: { "content-type": contentType } });
  }

  #add<M extends Known>(metric: M): M {
    register(this.#registry, metric, () => metric.values().catch(() => []));
    this.#metrics.push(metric);
    return metric;
  }
}

type Known = Declaration & { values(): Promise<Value[]>; forget(label: string, value: string): void };

/** Buckets for how long requests take, in seconds. */
export const DURATIONS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600] as const;

/** Answers that are made once for each argument, of which there are few. */
export class Remembered<T> {
  readonly #known = new Map<string, T>();

  constructor(private readonly make: (key: string) => T) {}

  of(key: string): T {
    let value = this.#known.get(key);
    if (value === undefined) {
      value = this.make(key);
      this.#known.set(key, value);
    }
    return value;
  }

  /** Has them made anew. */
  clear(): void {
    this.#known.clear();
  }
}
