import { existsSync } from "node:fs";
import { namesFile } from "../config/values.ts";
import type { Logger } from "../lib/log.ts";
import type { Module } from "../modules/module.ts";

/** The built-in modules that PLUGINS names, `*` being all of them; a name that none has, and no file, is a warning. */
export function chooseModules(names: readonly string[], known: readonly Module[], log: Logger): Module[] {
  const ids = known.map(({ id }) => id);
  for (const name of names) {
    if (name !== "*" && !namesFile(name) && !ids.includes(name)) {
      const hint = existsSync(name) ? `; to load a plugin of that name from this directory, write ./${name}` : "";
      log.warn({ plugin: name, known: ids }, `PLUGINS names an unknown module${hint}`);
    }
  }
  return names.includes("*") ? [...known] : known.filter(({ id }) => names.includes(id));
}
