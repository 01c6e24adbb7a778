// Prometheus' text, read back.

export interface Series {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** What a process shows at /metrics. */
export class Exposition {
  /** Metric → counter, gauge or histogram. */
  readonly types = new Map<string, string>();
  readonly series: Series[] = [];

  constructor(readonly text: string) {
    for (const line of text.split("\n")) {
      const type = /^# TYPE (\S+) (\w+)$/.exec(line);
      if (type !== null) this.types.set(type[1] ?? "", type[2] ?? "");
      const series = /^([a-z_]\w*)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (series === null) continue;
      const labels = [...(series[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name = "", value = ""]) => [
        name,
        value,
      ]);
      this.series.push({ name: series[1] ?? "", labels: Object.fromEntries(labels), value: Number(series[3]) });
    }
  }

  static async of(url: string): Promise<Exposition> {
    const response = await fetch(url, { keepalive: false });
    const text = await response.text();
    if (!response.ok) throw new Error(`GET ${url} answered ${response.status}: ${text}`);
    return new Exposition(text);
  }

  /** The series of this name that have these labels. */
  all(name: string, labels: Record<string, string> = {}): Series[] {
    return this.series.filter(
      one => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
    );
  }

  /** Their sum; 0 when there are none. */
  sum(name: string, labels: Record<string, string> = {}): number {
    return this.all(name, labels).reduce((sum, { value }) => sum + value, 0);
  }

  /** Metric → the labels that its series have, without a histogram's own. */
  get labelNames(): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    for (const { name, labels } of this.series) {
      const base = this.types.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/, "");
      const names = found.get(base) ?? new Set<string>();
      for (const label of Object.keys(labels)) if (label !== "le" || base === name) names.add(label);
      found.set(base, names);
    }
    return found;
  }
}
