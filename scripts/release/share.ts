// Manual pages and completions, as scripts/share.ts makes them.
import { basename } from "node:path";
import { shared } from "../share.ts";
import type { Stamp } from "../stamp.ts";
import { type File, file } from "./entry.ts";

/** Those of the named programs, by their paths below /usr or another prefix. */
export function share(stamp: Stamp, names: readonly string[]): File[] {
  const own = (path: string) => names.some(name => basename(path).replace(/^_|\.(?:1|fish)$/g, "") === name);
  return [...shared(stamp)].filter(([path]) => own(path)).map(([path, text]) => file(`share/${path}`, text));
}
