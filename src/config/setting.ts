import type { Mistake, Source } from "./error.ts";
import type { Option, Raw } from "./option.ts";

/** One value that a file, the environment or the command line gives to an option. */
export interface Setting {
  readonly option: Option<unknown>;
  readonly raw: Raw;
  readonly source: Source;
}

/** What one place says: its settings, and everything that is wrong with it. */
export interface ParsedSource {
  readonly settings: readonly Setting[];
  readonly mistakes: readonly Mistake[];
}
