// Prometheus series that cost an addition to count. prom-client hashes a metric's labels at every call, which at the
// broker's rate was an eighth of its time; here a series is looked up once and its cell is kept.
import { Counter, Gauge, Histogram, type Registry } from "prom-client";

type Labels<L extends string> = Record<L, string>;

/** One series' number. */
export interface Cell {
  value: number;
}

/** The series of one metric by their labels. */
class Cells<L extends string, C> {
  readonly #cells = new Map<string, { labels: Labels<L>; cell: C }>();

  constructor(
    private readonly names: readonly L[],
    private readonly make: () => C,
  ) {}

  of(labels: Labels<L>): C {
    let key = "";
    for (const name of this.names) key += `${labels[name]}\n`;
    let entry = this.#cells.get(key);
    if (entry === undefined) {
      entry = { labels, cell: this.make() };
      this.#cells.set(key, entry);
    }
    return entry.cell;
  }

  values(): IterableIterator<{ labels: Labels<L>; cell: C }> {
    return this.#cells.values();
  }
}

const newCell = (): Cell => ({ value: 0 });

/** What prom-client shows of cells. */
function numbers<L extends string>(cells: Cells<L, Cell>): { labels: Labels<L>; value: number }[] {
  return [...cells.values()].map(({ labels, cell }) => ({ labels, value: cell.value }));
}

/** A counter whose series are cells. */
export class CellCounter<L extends string> extends Counter<L> {
  readonly #cells: Cells<L, Cell>;

  constructor(options: { name: string; help: string; labelNames: L[]; registers: Registry[] }) {
    super(options);
    this.#cells = new Cells(options.labelNames, newCell);
  }

  cell(labels: Labels<L>): Cell {
    return this.#cells.of(labels);
  }

  override async get() {
    const base = await super.get();
    return { ...base, values: numbers(this.#cells) };
  }
}

/** A gauge whose series are cells. */
export class CellGauge<L extends string> extends Gauge<L> {
  readonly #cells: Cells<L, Cell>;

  constructor(options: { name: string; help: string; labelNames: L[]; registers: Registry[] }) {
    super(options);
    this.#cells = new Cells(options.labelNames, newCell);
  }

  cell(labels: Labels<L>): Cell {
    return this.#cells.of(labels);
  }

  override async get() {
    const base = await super.get();
    return { ...base, values: numbers(this.#cells) };
  }
}

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
export class CellHistogram<L extends string> extends Histogram<L> {
  readonly #cells: Cells<L, Distribution>;
  readonly #bounds: readonly number[];
  readonly #name: string;
  /** Knows how a histogram without values is described. */
  readonly #empty: Histogram<L>;

  constructor(options: { name: string; help: string; labelNames: L[]; buckets: number[]; registers: Registry[] }) {
    super(options);
    this.#empty = new Histogram({ ...options, registers: [] });
    this.#bounds = options.buckets;
    this.#name = options.name;
    this.#cells = new Cells(options.labelNames, () => new Distribution(options.buckets));
  }

  cell(labels: Labels<L>): Distribution {
    return this.#cells.of(labels);
  }

  override async get() {
    const base = await this.#empty.get();
    return { ...base, values: [...this.#cells.values()].flatMap(({ labels, cell }) => this.#expose(labels, cell)) };
  }

  /** prom-client prefers this over `get` when it writes text; its own `get` calls it, too. */
  getForPromString() {
    return this.get();
  }

  #expose(labels: Labels<L>, { counts, sum }: Distribution) {
    let total = 0;
    const buckets = [...this.#bounds, "+Inf"].map((le, at) => {
      total += counts[at] ?? 0;
      return { metricName: `${this.#name}_bucket`, labels: { ...labels, le }, value: total };
    });
    return [
      ...buckets,
      { metricName: `${this.#name}_sum`, labels, value: sum },
      { metricName: `${this.#name}_count`, labels, value: total },
    ];
  }
}

/** Buckets for how long requests take, in seconds. */
export const DURATIONS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** The function with its answers kept, for arguments of which there are few. */
export function remember<T>(make: (key: string) => T): (key: string) => T {
  const known = new Map<string, T>();
  return key => {
    let value = known.get(key);
    if (value === undefined) {
      value = make(key);
      known.set(key, value);
    }
    return value;
  };
}
