// The metrics of a process. A series is looked up once and its cell is kept, so that counting is one addition; its
// labels are rendered once, so that scraping thousands of series is fast.
import { CONTENT_TYPE, type Declaration, headOf, labelsOf, sample } from "./prometheus.ts";
import { type Clock, systemClock } from "./time.ts";

export type { Declaration };

/** Maximum number of series per counter or gauge; further ones count in a series whose labels are all `other`. */
const SERIES_MAX = 5_000;
/** Maximum number of series per histogram; each has one line per bucket. */
const HISTOGRAM_SERIES_MAX = 1_000;
/**
 * Minimum interval between two renderings of all metrics, in milliseconds; earlier scrapes wait and share the next one.
 */
export const METRICS_EVERY_MS = 1_000;
/** Number of series that are rendered before the event loop continues. */
const SERIES_AT_ONCE = 200;

type Labels<L extends string> = Readonly<Record<L, string>>;

/** One metric: its series by their labels. */
abstract class Metric<L extends string, C> implements Declaration {
  readonly #series = new Map<string, { labels: Labels<string>; text: string; cell: C }>();

  constructor(
    readonly type: Declaration["type"],
    readonly name: string,
    readonly help: string,
    readonly labelNames: readonly L[],
    private readonly make: () => C,
    private readonly max: number,
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
    if (this.#series.size < this.max) return this.#open(key, name => labels[name]);
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

  /** The current output, in chunks with a limited number of series. */
  async *text(): AsyncGenerator<string> {
    await this.collect();
    let piece = "";
    let series = 0;
    for (const { text, cell } of this.#series.values()) {
      piece += this.show(text, cell);
      if (++series % SERIES_AT_ONCE !== 0) continue;
      yield piece;
      piece = "";
    }
    yield piece;
  }

  protected clear(): void {
    this.#series.clear();
  }

  /** Updates the series. */
  protected async collect(): Promise<void> {}

  /** The lines of one series with rendered labels. */
  protected abstract show(labels: string, cell: C): string;

  #open(key: string, label: (name: L) => string): C {
    const labels = Object.fromEntries(this.labelNames.map(name => [name, label(name)]));
    const cell = this.make();
    this.#series.set(key, { labels, text: labelsOf(labels), cell });
    return cell;
  }
}

/** A counter or a gauge. */
export class Numbers<L extends string> extends Metric<L, Cell> {
  #read: Reader<L> | undefined;

  constructor(type: "counter" | "gauge", name: string, help: string, labelNames: readonly L[]) {
    super(type, name, help, labelNames, () => ({ value: 0 }), SERIES_MAX);
  }

  /** Reads its series at each scrape instead of counting. A gauge has only these series. */
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

  protected show(labels: string, { value }: Cell): string {
    return sample(this.name, labels, value);
  }
}

/** One series' number. */
export interface Cell {
  value: number;
}

/** Returns the current series of a metric. */
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
    super("histogram", name, help, labelNames, () => new Distribution(buckets), HISTOGRAM_SERIES_MAX);
  }

  protected show(labels: string, { counts, sum }: Distribution): string {
    const { name, buckets } = this;
    const before = labels === "" ? "" : `${labels},`;
    let lines = "";
    let total = 0;
    for (const [at, count] of counts.entries()) {
      total += count;
      lines += sample(`${name}_bucket`, `${before}le="${buckets[at] ?? "+Inf"}"`, total);
    }
    return lines + sample(`${name}_sum`, labels, sum) + sample(`${name}_count`, labels, total);
  }
}

/** Every metric of a process, each declared once; their pages and their text follow from that. */
export class Meters {
  readonly #metrics: Known[] = [];
  readonly #clock: Clock;
  /** The next rendering, shared by all scrapes before it starts. */
  #next: Promise<string> | undefined;
  /** Resolves once the last writing is over. */
  #written = Promise.resolve();
  /** From when on all may be written again. */
  #restsUntil = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

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

  /** The declarations, in order. */
  get declared(): readonly Declaration[] {
    return this.#metrics;
  }

  /** Ends every series in which the label has this value. */
  forget(label: string, value: string): void {
    for (const metric of this.#metrics) metric.forget(label, value);
  }

  /**
   * The response of GET /metrics, rendered at most once per METRICS_EVERY_MS. A metric that cannot be read is shown
   * without values, so that the others remain visible.
   */
  async response(): Promise<Response> {
    this.#next ??= this.#planned();
    return new Response(await this.#next, { headers: { "content-type": CONTENT_TYPE } });
  }

  async #planned(): Promise<string> {
    await this.#written;
    const rest = this.#restsUntil - this.#clock.now();
    if (rest > 0) await new Promise<void>(resolve => this.#clock.after(rest, resolve));
    this.#next = undefined;
    const text = this.#write();
    this.#written = text.then(() => {
      this.#restsUntil = this.#clock.now() + METRICS_EVERY_MS;
    });
    return text;
  }

  async #write(): Promise<string> {
    let text = "";
    for (const metric of this.#metrics) {
      text += `${text === "" ? "" : "\n"}${headOf(metric)}`;
      const before = text;
      try {
        for await (const piece of metric.text()) {
          text += piece;
          // Requests continue in between.
          if (piece.length >= PIECE_LONG) await new Promise(resolve => setImmediate(resolve));
        }
      } catch {
        text = before;
      }
    }
    return text;
  }

  #add<M extends Known>(metric: M): M {
    if (this.#metrics.some(({ name }) => name === metric.name))
      throw new Error(`A metric with the name ${metric.name} has already been registered.`);
    this.#metrics.push(metric);
    return metric;
  }
}

/** Size of a chunk after which the event loop continues, in characters. */
const PIECE_LONG = 4_096;

type Known = Declaration & { text(): AsyncGenerator<string>; forget(label: string, value: string): void };

/** Buckets for request durations, in seconds. */
export const DURATIONS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600] as const;

/** Memoizes a function with few distinct arguments. */
export class Memo<T> {
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
