import type { Logger } from "../lib/log.ts";
import type { BrokerOptions } from "./broker.ts";

type Module = BrokerOptions["modules"][number];

/** The modules that PLUGINS names, `*` being all of them; a name that none has is a warning. */
export function chooseModules(
  names: readonly string[],
  known: readonly Module[],
  others: readonly string[],
  log: Logger,
): Module[] {
  const ids = [...known.map(({ module }) => module.id), ...others];
  for (const name of names) {
    if (name !== "*" && !ids.includes(name)) {
      log.warn({ plugin: name, known: ids }, "PLUGINS names a module that is not here");
    }
  }
  return names.includes("*") ? [...known] : known.filter(({ module }) => names.includes(module.id));
}
