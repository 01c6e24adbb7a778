// Configures the modules of a broker.
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { type Clock, pause } from "../lib/time.ts";
import type { ConfiguredModule, PoolSettings, RelaySettings, WorkerModule } from "../modules/module.ts";
import type { ModuleAuth, Route, RouteBase, Scope } from "../modules/route.ts";
import { servedPath } from "./http/served-paths.ts";
import type { BrokerMetrics } from "./observe/metrics.ts";
import { ModuleMeter } from "./observe/module-metrics.ts";
import type { ServedModule } from "./observe/state.ts";

export interface ServedModules {
  readonly all: readonly ServedModule[];
  readonly workers: readonly { module: WorkerModule; pool: PoolSettings }[];
  readonly relays: RelaySettings | undefined;
  /** Closes every module once, within MODULE_CLOSE_MS. Never rejects: failures are logged. */
  close(): Promise<void>;
}

/** Collects the parts of every module. Throws an error with the file if one fails or conflicts with another. */
export function serveModules(
  modules: readonly ConfiguredModule[],
  { log, clock, metrics }: { log: Logger; clock: Clock; metrics: BrokerMetrics },
): ServedModules {
  const all: ServedModule[] = [];
  const workers: { module: WorkerModule; pool: PoolSettings }[] = [];
  let relays: RelaySettings | undefined;
  for (const configured of modules) {
    const wrong = (problem: string): Error => new Error(`${configured.file ?? configured.id}: ${problem}`);
    if (RESERVED.has(configured.id) || all.some(other => other.configured.id === configured.id))
      throw wrong(`a module with the id ${configured.id} already exists`);
    const served = called(configured, () =>
      configured.serve({ log, clock, metrics: new ModuleMeter(configured.id, metrics.meters) }),
    );
    const { worker, pool } = served;
    if ((worker === undefined) !== (pool === undefined)) throw wrong("`worker` and `pool` go together");
    if (worker !== undefined && worker.id !== configured.id)
      throw wrong(`its worker has the different id ${worker.id}`);
    if (served.relays !== undefined && relays !== undefined) throw wrong("another module already serves relays");
    relays ??= served.relays;
    if (worker !== undefined && pool !== undefined) workers.push({ module: worker, pool });
    all.push({ configured, served });
  }
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= Promise.all(all.map(module => closeModule(module, clock, log))).then(() => {});
    return closed;
  };
  return { all, workers, relays, close };
}

/** Milliseconds that a module has to close when the broker stops; after that the broker ends without it. */
const MODULE_CLOSE_MS = 5_000;

async function closeModule({ configured, served }: ServedModule, clock: Clock, log: Logger): Promise<void> {
  if (served.close === undefined) return;
  const about = { plugin: configured.id };
  const over = new AbortController();
  const expired = pause(clock, MODULE_CLOSE_MS, over.signal).then(() => {
    if (!over.signal.aborted) log.warn({ ...about, waited_ms: MODULE_CLOSE_MS }, "a plugin did not close in time");
  });
  try {
    await Promise.race([served.close(), expired]);
  } catch (error) {
    log.warn({ ...about, cause: messageOf(error) }, "a plugin failed to close");
  } finally {
    over.abort();
  }
}

/** Names in paths and in the state that are the broker's own. */
const RESERVED: ReadonlySet<string> = new Set(["server", "jobs", "transfer", "state", "client", "admin"]);

/** Calls a module; errors name it. */
function called<T>({ file, id }: ConfiguredModule, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new Error(`${file ?? id}: cannot start: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** The additional routes of the modules. Throws an error with the file for a duplicate route. */
export function ownRoutes(modules: readonly ServedModule[], others: readonly RouteBase[]): Route[] {
  const places = new Places();
  for (const route of others)
    places.claim(route, modules.find(({ configured }) => configured.id === route.tag)?.configured);
  return modules.flatMap(({ configured, served: { routes = [] } }) =>
    routes.map(route => {
      places.claim(route, configured);
      const { auth, ...rest } = route;
      return { ...rest, scopes: SCOPES[auth](configured.id) };
    }),
  );
}

/** The scopes of a module's route, by what it asks for. */
const SCOPES: Readonly<Record<ModuleAuth, (id: string) => readonly Scope[]>> = {
  none: () => ["public"],
  api: id => [id],
  client: () => ["client"],
  "api-or-client": id => [id, "client"],
  admin: () => ["admin"],
};

/** Where there are routes. A slash at the end of a path makes no other place, nor does another name for a segment. */
class Places {
  readonly #taken = new Set<string>();
  /** The name of the segment after a path: the framework supports one name. */
  readonly #names = new Map<string, string>();

  /** Throws, naming the file, when a route of this module has no place. */
  claim({ method, path }: RouteBase, configured: ConfiguredModule | undefined): void {
    const wrong = (problem: string): Error =>
      new Error(`${configured?.file ?? configured?.id}: the route ${method} ${servedPath(path)} ${problem}`);
    let place: string = method;
    for (const segment of servedPath(path).split("/").filter(Boolean)) {
      const name = /^:(.*)$/.exec(segment)?.[1];
      place += name === undefined ? `/${segment}` : "/:";
      if (name === undefined) continue;
      const before = this.#names.get(place) ?? name;
      if (configured !== undefined && before !== name)
        throw wrong(`names the parameter :${name}, another route names it :${before}`);
      this.#names.set(place, before);
    }
    if (configured !== undefined && this.#taken.has(place)) throw wrong("already exists");
    this.#taken.add(place);
  }
}
