// Prometheus' text format, version 0.0.4.

/** Declaration of a metric. */
export interface Declaration {
  readonly type: "counter" | "gauge" | "histogram";
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The two lines above the samples of a metric. */
export function headOf({ name, help, type }: Declaration): string {
  return `# HELP ${name} ${help.replace(/[\\\n]/g, escaped)}\n# TYPE ${name} ${type}\n`;
}

/** Labels as they stand between a sample's braces: `x="1",y="2"`. */
export function labelsOf(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value.replace(/[\\\n"]/g, escaped)}"`)
    .join(",");
}

/** One line; `labels` is the result of `labelsOf`, or empty. */
export function sample(name: string, labels: string, value: number): string {
  return `${labels === "" ? name : `${name}{${labels}}`} ${numberOf(value)}\n`;
}

function numberOf(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

function escaped(letter: string): string {
  return letter === "\n" ? "\\n" : `\\${letter}`;
}
