import type { Range } from "./values.ts";

/** What a source gives before it is parsed: one text, or a list from YAML or from a repeated flag. */
export type Raw = string | readonly string[];

/** What of the machine a default may depend on. */
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
  /** Other environment variables it is read from when `env` is unset. */
  readonly aliases: readonly string[];
  /** Keys it has in the YAML file, the preferred one first; a dot goes one level down. */
  readonly yaml: readonly string[];
  readonly flag: string;
  readonly short: string | undefined;
  readonly help: string;
  readonly kind: Kind;
  /** What a value must be, to follow "is not …". */
  readonly expects: string;
  /** Its value is shown nowhere. */
  readonly secret: boolean;
  readonly range: Range | undefined;
  /** The values it may have, when they are few. */
  readonly choices: readonly string[];
  /** What its value is the path of. */
  readonly path: "file" | "folder" | undefined;
  /** True of a value, or of an item of it, that is a path: a file that is kept must not depend on where it was written. */
  isPath(item: string): boolean;
  /** What `init` writes into a new file for it, unless it is told otherwise: often a fresh key. */
  readonly seed: (() => string) | undefined;
  /** The default as one would write it; undefined when it is unset or depends on the machine. */
  readonly defaultRaw: Raw | undefined;
  /** Words for a default that a value does not explain. */
  readonly defaultNote: string | undefined;
  initial(machine: Machine): T;
  parse(raw: Raw): { readonly ok: true; readonly value: T } | { readonly ok: false };
}
