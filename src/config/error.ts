import type { Option, Raw } from "./option.ts";

/** Source of a value. */
export type Source =
  | { readonly from: "default" }
  | { readonly from: "file"; readonly path: string; readonly key: string; readonly line: number }
  | { readonly from: "environment"; readonly name: string }
  | { readonly from: "flag"; readonly flag: string };

/** One configuration error. It never contains a secret. */
export interface Mistake {
  /** Environment variable of the option; undefined if no option is affected or recognized. */
  readonly option: string | undefined;
  /** The value, safe to display. */
  readonly value: string | undefined;
  readonly source: Source | { readonly from: "command line" } | { readonly from: "file"; readonly path: string };
  /** The error in one sentence. */
  readonly text: string;
}

/** All configuration errors. Print the message and exit with 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly mistakes: readonly Mistake[];

  constructor(
    program: string,
    mistakes: readonly Mistake[],
    /** The command on the command line. */
    readonly command?: string,
  ) {
    const count = mistakes.length === 1 ? "1 error" : `${mistakes.length} errors`;
    const lines = mistakes.map(mistake => `  - ${mistake.text}`);
    super(`cannot start: ${count} in the configuration:\n${lines.join("\n")}\nAll options: ${program} --help all`);
    this.mistakes = mistakes;
  }
}

/** Describes the source of a value. */
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

/**
 * A value that is safe to display in an error: no secrets, no URL credentials, no control characters, limited length.
 */
function shownValue(option: Option<unknown>, raw: Raw): string {
  if (option.secret) return "(hidden)";
  const text = (typeof raw === "string" ? raw : raw.join(",")).replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, "$1***@");
  return JSON.stringify(text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text);
}

/** The error for an invalid value. */
export function badValue(option: Option<unknown>, raw: Raw, source: Source): Mistake {
  const value = shownValue(option, raw);
  const text = `${option.env}: ${value} is not ${option.expects} (${describeSource(source)})`;
  return { option: option.env, value, source, text };
}
