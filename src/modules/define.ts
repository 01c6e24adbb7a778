// How a module is made.
import type { OptionGroup, Shape, Values } from "../config/group.ts";
import { type Backend, MODULE_API, type Module, type ModuleHost, type Served } from "./module.ts";

/** A module as it is written down; the types of the values follow from the options. */
export interface ModuleSpec<S extends Shape, A extends Shape> {
  readonly id: string;
  readonly summary: string;
  /** What the broker can be told; `options("Module x", {})` when that is nothing. */
  readonly options: OptionGroup<S>;
  serve?(host: ModuleHost & { readonly values: Values<OptionGroup<S>> }): Served;
  readonly agent?: {
    readonly options: OptionGroup<A>;
    backend(values: Values<OptionGroup<A>>): Backend;
  };
}

const ID = /^[a-z][a-z0-9-]{0,31}$/;

/** Makes a module of what is written down. Throws when its id is none. */
export function defineModule<S extends Shape, A extends Shape>(spec: ModuleSpec<S, A>): Module {
  const { id, summary, options, agent } = spec;
  if (!ID.test(id))
    throw new Error(`a module's id is lower-case letters, digits and dashes, which ${JSON.stringify(id)} is not`);
  return {
    api: MODULE_API,
    id,
    summary,
    options,
    agent: agent && {
      options: agent.options,
      backend: found => agent.backend(agent.options.finish(found).values),
    },
    told: found => ({
      id,
      summary,
      serve: host => spec.serve?.({ ...host, values: options.finish(found).values }) ?? {},
    }),
  };
}
