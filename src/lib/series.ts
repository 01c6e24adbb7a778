// The metrics of a process and their text for Prometheus. A series is looked up once and its cell is kept, so that counting
// costs an addition: at the broker's rate, hashing the labels at every call was an eighth of its time.

/** Series of one metric at most; what comes beyond is counted in one whose labels are all `other`. */
const SERIES_MAX = 5_000;

export type MetricType = "counter" | "gauge" | "histogram";

/** What is known of a metric before anything is counted. */
export interface Declaration {
  readonly type: MetricType;
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

type Labels<L extends string> = Readonly<Record<L, string>>;

/** One metric: its series by their labels. */
abstract class Metric<L extends string, C> implements Declaration {
  readonly #series = new Map<string, { values: readonly string[]; labels: string; cell: C }>();

  constructor(
    readonly type: MetricType,
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
    const names: readonly string[] = this.labelNames;
    const at = names.indexOf(label);
    if (at < 0) return;
    for (const [key, { values }] of this.#series) if (values[at] === value) this.#series.delete(key);
  }

  /** Its lines in the text format. */
  async lines(): Promise<string[]> {
    await this.collect();
    const { name, type, help } = this;
    const series = [...this.#series.values()].flatMap(({ labels, cell }) => this.show(labels, cell));
    return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...series];
  }

  protected clear(): void {
    this.#series.clear();
  }

  /** Brings the series up to date. */
  protected async collect(): Promise<void> {}

  protected abstract show(labels: string, cell: C): string[];

  #open(key: string, label: (name: L) => string): C {
    const values = this.labelNames.map(label);
    const labels = this.labelNames.map(name => `${name}="${escaped(label(name))}"`).join(",");
    const cell = this.make();
    this.#series.set(key, { values, labels, cell });
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

  protected show(labels: string, { value }: Cell): string[] {
    return [`${this.name}${braced(labels)} ${value}`];
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

  protected show(labels: string, { counts, sum }: Distribution): string[] {
    const before = labels === "" ? "" : `${labels},`;
    let total = 0;
    const buckets = [...this.buckets, "+Inf"].map((bound, at) => {
      total += counts[at] ?? 0;
      return `${this.name}_bucket{${before}le="${bound}"} ${total}`;
    });
    return [...buckets, `${this.name}_sum${braced(labels)} ${sum}`, `${this.name}_count${braced(labels)} ${total}`];
  }
}

/** Every metric of a process, each declared once; their pages and their text follow from that. */
export class Meters {
  readonly #metrics = new Map<
    string,
    Declaration & { lines(): Promise<string[]>; forget(l: string, v: string): void }
  >();

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
    return [...this.#metrics.values()];
  }

  /** Ends every series in which the label has this value. */
  forget(label: string, value: string): void {
    for (const metric of this.#metrics.values()) metric.forget(label, value);
  }

  /** What GET /metrics answers. A metric that cannot be read now is left out, so that the others are seen. */
  async response(): Promise<Response> {
    const all = await Promise.allSettled([...this.#metrics.values()].map(metric => metric.lines()));
    const lines = all.flatMap(result => (result.status === "fulfilled" ? result.value : []));
    return new Response(`${lines.join("\n")}\n`, { headers: { "content-type": TEXT_FORMAT } });
  }

  #add<M extends Declaration & { lines(): Promise<string[]>; forget(l: string, v: string): void }>(metric: M): M {
    if (this.#metrics.has(metric.name)) throw new Error(`two metrics are called ${metric.name}`);
    this.#metrics.set(metric.name, metric);
    return metric;
  }
}

const TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8";

const braced = (labels: string): string => (labels === "" ? "" : `{${labels}}`);

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

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
