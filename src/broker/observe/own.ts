import { messageOf } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Served } from "../../modules/module.ts";

/** The own state of modules. If a module fails, an error replaces its state. */
export class OwnStates {
  /** Modules that were warned of, each with the kinds of trouble. */
  readonly #warned = new Set<string>();

  constructor(private readonly log: Logger) {}

  /** The module's own state as JSON, or `{ error }`; undefined if it has none. */
  of(plugin: string, { state }: Pick<Served, "state">): unknown {
    if (state === undefined) return undefined;
    const said = reading("state() throws", state);
    if ("error" in said) return this.#warn(plugin, said);
    if (said.value instanceof Promise) {
      said.value.catch(() => {});
      return this.#warn(plugin, { kind: PROMISE, error: PROMISE });
    }
    const written = reading("state() is not JSON", () => JSON.stringify(said.value));
    if ("error" in written) return this.#warn(plugin, written);
    return written.value === undefined ? undefined : JSON.parse(written.value);
  }

  #warn(plugin: string, { kind, error }: Trouble): { error: string } {
    const key = `${plugin} ${kind}`;
    if (!this.#warned.has(key)) this.log.warn({ plugin, cause: error }, "cannot show a plugin's state");
    this.#warned.add(key);
    return { error };
  }
}

const PROMISE = "state() returns a promise, which is not supported";

interface Trouble {
  kind: string;
  error: string;
}

function reading<T>(kind: string, read: () => T): { value: T } | Trouble {
  try {
    return { value: read() };
  } catch (error) {
    return { kind, error: `${kind}: ${messageOf(error)}` };
  }
}
