import type { Option, Raw } from "./option.ts";

/** Where a value came from. */
export type Source =
  | { readonly from: "default" }
  | { readonly from: "file"; readonly path: string; readonly key: string; readonly line: number }
  | { readonly from: "environment"; readonly name: string }
  | { readonly from: "flag"; readonly flag: string };

/** One thing that is wrong with what the program was told. It never holds a secret. */
export interface Mistake {
  /** The option, by its environment variable; undefined when none is meant or none was recognised. */
  readonly option: string | undefined;
  /** The value, fit to be shown. */
  readonly value: string | undefined;
  readonly source: Source | { readonly from: "command line" } | { readonly from: "file"; readonly path: string };
  /** The whole mistake in one sentence. */
  readonly text: string;
}

/** Everything that is wrong with the configuration, at once. Print its message and exit with 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly mistakes: readonly Mistake[];

  constructor(
    program: string,
    mistakes: readonly Mistake[],
    /** The command that the program was given. */
    readonly command?: string,
  ) {
    const count = mistakes.length === 1 ? "1 error" : `${mistakes.length} errors`;
    const lines = mistakes.map(mistake => `  - ${mistake.text}`);
    super(`cannot start: ${count} in the configuration:\n${lines.join("\n")}\nAll options: ${program} --help all`);
    this.mistakes = mistakes;
  }
}

/** Says where a value came from. */
export function describeSource(source: Mistake["source"]): string {
  switch (source.from) {
    case "default":
      return "unset";
    case "environment":
      return `environment variable ${source.name}`;
    case "flag":
      return `flag ${source.flag}`;
    case "command line":
      return "command line";
    case "file":
      return "key" in source ? `file ${source.path}, line ${source.line}, key ${source.key}` : `file ${source.path}`;
  }
}

const LONGEST_SHOWN = 200;

/** A value as an error may show it: nothing of a secret, no credentials of a URL, no control characters, not too much. */
function shownValue(option: Option<unknown>, raw: Raw): string {
  if (option.secret) return "(hidden)";
  const text = (typeof raw === "string" ? raw : raw.join(",")).replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, "$1***@");
  return JSON.stringify(text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text);
}

/** The mistake of a value that does not parse. */
export function badValue(option: Option<unknown>, raw: Raw, source: Source): Mistake {
  const value = shownValue(option, raw);
  const text = `${option.env}: ${value} is not ${option.expects} (${describeSource(source)})`;
  return { option: option.env, value, source, text };
}
