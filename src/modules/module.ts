// The interface between a module and the broker and agent. A module is data: what it serves, how a request finds its
// worker, how its agent finds its backend. All modules run on the same code.
import type { OptionGroup } from "../config/group.ts";
import type { Html } from "../lib/html.ts";
import type { Logger } from "../lib/log.ts";
import type { Clock } from "../lib/time.ts";
import type { Backend } from "./backend.ts";
import type { AgentEndpoint, Endpoint, ErrorShape } from "./endpoint.ts";
import type { ModuleRoute, Operation } from "./route.ts";
import type { PoolSettings, RelaySettings } from "./settings.ts";
import type { ModuleState } from "./state.ts";
import type { Watch } from "./watch.ts";

/**
 * Version of this interface. A module declares the version that it was written for; the broker rejects other versions.
 * Bumped on breaking changes.
 */
export const MODULE_API = 1;

export type * from "./backend.ts";
export { LOOK_MS } from "./backend.ts";
export type * from "./endpoint.ts";
export type * from "./settings.ts";
export { takesSlot } from "./slots.ts";
export type { Watch } from "./watch.ts";

/** A capability, as a plugin file exports it and as the built-in ones are: made by `defineModule`. */
export interface Module {
  readonly api: number;
  /** Its name in paths, options, metrics and the state: lower-case letters, digits and dashes. */
  readonly id: string;
  /** Its purpose, in one sentence. */
  readonly summary: string;
  /** The broker's options of the module; each has an environment variable, a flag and a YAML key. */
  readonly options: OptionGroup;
  /** The agent's part, for a module whose requests go to workers. */
  readonly agent: ModuleAgent | undefined;
  /** The module with the values of its options. */
  configure(values: OptionValues): ConfiguredModule;
}

/** The agent's part of a module. */
export interface ModuleAgent {
  /** The agent's backend options. */
  readonly options: OptionGroup;
  /** All that the agent serves of its backend; every path below its address when left out. */
  readonly endpoints?: readonly AgentEndpoint[] | undefined;
  backend(values: OptionValues): Backend;
}

/** Values of options by their names in code. */
export type OptionValues = Readonly<Record<string, unknown>>;

/** A module as a broker starts it. */
export interface ConfiguredModule extends Pick<Module, "id" | "summary"> {
  /** The file it comes from, which errors name; built-in modules have none. */
  readonly file?: string;
  /** Called once, before the broker listens. */
  serve(host: ModuleHost): Served;
}

/** The services of the broker for a module. */
export interface ModuleHost {
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: ModuleMetrics;
}

/** Metrics of a module. Their names begin with `nfrx_` and the module's id; of a label at most 500 values live, the rest is `other`. */
export interface ModuleMetrics {
  /** A counter; its name ends in `_total`. */
  counter(spec: MetricSpec): { add(labels?: Labels, by?: number): void };
  /** A histogram of seconds. */
  histogram(spec: MetricSpec & { readonly buckets?: readonly number[] }): {
    observe(value: number, labels?: Labels): void;
  };
  /** A gauge that is read at each scrape. */
  gauge(spec: MetricSpec, read: () => number): void;
}

export interface MetricSpec {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

/** The parts that a module adds to a broker. Every part is optional. */
export interface Served {
  /** Requests that go to workers, and the pool of those. Both or none. */
  readonly worker?: WorkerModule;
  readonly pool?: PoolSettings;
  /** Relays of MCP; one module of a broker may have them. */
  readonly relays?: RelaySettings;
  /** Further routes. The caller is checked before they answer. */
  readonly routes?: readonly ModuleRoute[];
  /** Value of `own` in the state, as JSON. */
  state?(): unknown;
  /**
   * The module's own content in the dashboard, as an HTML fragment. It must not contain scripts or styles: pages block
   * both.
   */
  view?(shown: Shown): Html;
  /**
   * Releases the module's resources. Called once when the broker stops, after the last request; the broker waits up to
   * 5 seconds.
   */
  close?(): Promise<void>;
}

/** Input of a view: the state of the module's pool, if it has one, and its own state. */
export interface Shown {
  readonly pool: ModuleState | undefined;
  readonly own: unknown;
}

/** Default idle timeout of a module's requests, in milliseconds. */
export const REQUEST_TIMEOUT_MS = 600_000;
/** Idle timeout of requests whose backends work for long without output, in milliseconds. */
export const SLOW_REQUEST_TIMEOUT_MS = 3_600_000;

/** An endpoint as clients see it. */
export interface PublicEndpoint extends Endpoint {
  operation: Operation;
  /** The same as a WebSocket, for a GET whose response changes over time. */
  watch?: Watch;
}

export interface WorkerModule {
  id: string;
  /** Its purpose, in one sentence. */
  summary: string;
  endpoints: PublicEndpoint[];
  /** Lists its models at GET /v1/models. */
  listsModels: boolean;
  /** Further paths below which the same list is: `/ollama` has it at /ollama/v1/models, too. */
  modelsBelow?: readonly string[];
  errors: ErrorShape;
  /** Default idle timeout of its requests, in milliseconds; REQUEST_TIMEOUT_MS if omitted. */
  requestTimeoutMs?: number;
  /**
   * How a worker is reached. `any`: the least busy one that fits, or one by its id. `id`: each stands before a service of its
   * own and is reached by its id alone, at /api/<module>/id/{id}.
   */
  reach?: "any" | "id";
}
