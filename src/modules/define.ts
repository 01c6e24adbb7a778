// How a module is made.
import type { OptionGroup, Shape, Values } from "../config/group.ts";
import { checkBackend, checkProbed, checkServed, refusePromise } from "./check.ts";
import type { AgentEndpoint } from "./endpoint.ts";
import {
  type Ask,
  type Backend,
  LOOK_MS,
  MODULE_API,
  type Module,
  type ModuleHost,
  type ProbeResult,
  type Served,
} from "./module.ts";

/** A module as it is written down; the types of the values follow from the options. */
export interface ModuleSpec<S extends Shape, A extends Shape> {
  readonly id: string;
  readonly summary: string;
  /** The broker's options; `options("Module x", {})` if there are none. */
  readonly options: OptionGroup<S>;
  /** Synchronous: use top-level await for slow work. */
  serve?(host: ModuleHost & { readonly values: Values<OptionGroup<S>> }): Served;
  readonly agent?: {
    readonly options: OptionGroup<A>;
    /** All that the agent serves of its backend, as a rule those of `worker`; every path below its address when left out. */
    readonly endpoints?: readonly AgentEndpoint[];
    backend(values: Values<OptionGroup<A>>): BackendSpec;
  };
}

/** A backend as it is written down. */
export interface BackendSpec extends Omit<Backend, "apiKey" | "pollMs" | "facts" | "probe"> {
  readonly apiKey?: string | undefined;
  /** LOOK_MS when left out. */
  readonly pollMs?: number;
  readonly facts?: Record<string, string>;
  /** Queries the backend's models and properties. */
  probe(ask: Ask): Promise<Omit<ProbeResult, "facts"> & Partial<Pick<ProbeResult, "facts">>>;
}

const ID = /^[a-z][a-z0-9-]{0,31}$/;

/** Creates a module from its declaration. Throws if it is invalid, so that the file cannot be loaded. */
export function defineModule<S extends Shape, A extends Shape>(spec: ModuleSpec<S, A>): Module {
  checkSpec(spec);
  const { id, summary, options, agent } = spec;
  return {
    api: MODULE_API,
    id,
    summary,
    options,
    agent: agent && {
      options: agent.options,
      endpoints: agent.endpoints,
      backend: found => backendOf(agent.backend(agent.options.finish(found).values)),
    },
    configure: found => ({
      id,
      summary,
      serve: host =>
        spec.serve === undefined ? {} : checkServed(spec.serve({ ...host, values: options.finish(found).values })),
    }),
  };
}

function backendOf(spec: BackendSpec): Backend {
  refusePromise("backend", spec);
  const { apiKey, pollMs = LOOK_MS, facts = {}, ...rest } = spec;
  const probe = async (ask: Ask): Promise<ProbeResult> => checkProbed({ facts: {}, ...(await spec.probe(ask)) });
  if (typeof spec.probe !== "function") throw new Error("a backend's `probe` must be a function");
  return checkBackend({ ...rest, apiKey, pollMs, facts, probe });
}

const PARTS = new Set(["id", "summary", "options", "serve", "agent"]);

/** A file may be JavaScript: types have not seen it. */
function checkSpec(spec: ModuleSpec<Shape, Shape>): void {
  const { id, summary, options, serve, agent } = spec;
  if (typeof id !== "string" || !ID.test(id))
    throw new Error(`invalid module id ${JSON.stringify(id)}: use lower-case letters, digits and dashes`);
  const unknown = Object.keys(spec).find(part => !PARTS.has(part));
  if (unknown !== undefined) throw new Error(`unknown module field \`${unknown}\``);
  if (typeof summary !== "string") throw new Error("a module's `summary` must be a string");
  if (!isGroup(options)) throw new Error('create a module\'s `options` with options("Module …", { … })');
  if (serve !== undefined && typeof serve !== "function") throw new Error("a module's `serve` must be a function");
  if (agent === undefined) return;
  if (!isGroup(agent?.options)) throw new Error('create an agent\'s `options` with options("Backend", { … })');
  if (typeof agent.backend !== "function") throw new Error("an agent's `backend` must be a function");
}

function isGroup(value: unknown): boolean {
  return typeof value === "object" && value !== null && "shape" in value && "finish" in value;
}
