import type { Mistake, Source } from "./error.ts";
import type { Option, Raw } from "./option.ts";

/** One value from a file, the environment or the command line. */
export interface Setting {
  readonly option: Option<unknown>;
  readonly raw: Raw;
  readonly source: Source;
}

/** The settings of one source, and their errors. */
export interface ParsedSource {
  readonly settings: readonly Setting[];
  readonly mistakes: readonly Mistake[];
}
