import type { Range } from "./values.ts";

/** A value before parsing: one string, or a list from YAML or from a repeated flag. */
export type Raw = string | readonly string[];

/** Properties of the machine on which a default can depend. */
export interface Machine {
  /** As in Node's `process.platform`. */
  readonly platform: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export type Kind =
  | "text"
  | "secret"
  | "int"
  | "number"
  | "bool"
  | "bytes"
  | "list"
  | "pairs"
  | "seconds"
  | "duration"
  | "url"
  | "choice"
  | "port"
  | "address";

/** One declared option, whose value is a T. */
export interface Option<T> {
  readonly env: string;
  /** Alternative environment variables, used if `env` is unset. */
  readonly aliases: readonly string[];
  /** Its YAML keys, the preferred one first; a dot stands for nesting. */
  readonly yaml: readonly string[];
  readonly flag: string;
  readonly short: string | undefined;
  readonly help: string;
  readonly kind: Kind;
  /** Description of a valid value, to follow "is not …". */
  readonly expects: string;
  /** The value is never displayed. */
  readonly secret: boolean;
  readonly range: Range | undefined;
  /** The possible values, if they are few. */
  readonly choices: readonly string[];
  /** The kind of path, if the value is one. */
  readonly path: "file" | "folder" | undefined;
  /** True if a value or list item is a path: paths in a configuration file must not depend on the current directory. */
  isPath(item: string): boolean;
  /** The value that `init` writes unless another is given; often a new key. */
  readonly seed: (() => string) | undefined;
  /** The default as written in the file; undefined if it is unset or depends on the machine. */
  readonly defaultRaw: Raw | undefined;
  /** Description of a default that is not a fixed value. */
  readonly defaultNote: string | undefined;
  initial(machine: Machine): T;
  parse(raw: Raw): { readonly ok: true; readonly value: T } | { readonly ok: false };
}
