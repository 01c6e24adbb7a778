// Prometheus' library as the place where metrics are registered and written out. It does not count: it hashes a metric's
// labels at every call, which at the broker's rate was an eighth of its time. See series.ts for what counts.
import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** What is known of a metric before anything is counted. */
export interface Declaration {
  readonly type: "counter" | "gauge" | "histogram";
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

/** One line of a metric: of a histogram the name has an ending. */
export interface Value {
  metricName?: string;
  labels: Record<string, string | number>;
  value: number;
}

/** Has the registry show a metric with the values that `read` gives whenever somebody looks. Throws when its name is taken. */
export function register(registry: Registry, { type, ...about }: Declaration, read: () => Promise<Value[]>): void {
  const spec = { ...about, labelNames: [...about.labelNames], registers: [registry] };
  switch (type) {
    case "counter":
      new ReadCounter(spec, read);
      break;
    case "gauge":
      new ReadGauge(spec, read);
      break;
    case "histogram":
      new ReadHistogram(spec, read);
  }
}

type Spec = { name: string; help: string; labelNames: string[]; registers: Registry[] };

class ReadCounter extends Counter<string> {
  constructor(
    spec: Spec,
    private readonly read: () => Promise<Value[]>,
  ) {
    super(spec);
  }

  override async get() {
    return { ...(await super.get()), values: await this.read() };
  }
}

class ReadGauge extends Gauge<string> {
  constructor(
    spec: Spec,
    private readonly read: () => Promise<Value[]>,
  ) {
    super(spec);
  }

  override async get() {
    return { ...(await super.get()), values: await this.read() };
  }
}

class ReadHistogram extends Histogram<string> {
  /** Knows how a histogram without values is described. */
  readonly #empty: Histogram<string>;

  constructor(
    spec: Spec,
    private readonly read: () => Promise<Value[]>,
  ) {
    super(spec);
    this.#empty = new Histogram({ ...spec, registers: [] });
  }

  override async get() {
    return { ...(await this.#empty.get()), values: await this.read() };
  }

  /** prom-client prefers this over `get` when it writes text; its own `get` calls it, too. */
  getForPromString() {
    return this.get();
  }
}
