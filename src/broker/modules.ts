// What a broker makes of its modules.
import type { Logger } from "../lib/log.ts";
import type { Clock } from "../lib/time.ts";
import type { PoolSettings, RelaySettings, Served, ToldModule, WorkerModule } from "../modules/module.ts";
import type { Route } from "../modules/route.ts";
import { servedPath } from "./http/mount.ts";
import type { BrokerMetrics } from "./observe/metrics.ts";
import { ModuleMeter } from "./observe/module-metrics.ts";

/** A module and what it serves. */
export interface ServedModule {
  readonly told: ToldModule;
  readonly served: Served;
}

export interface ServedModules {
  readonly all: readonly ServedModule[];
  readonly workers: readonly { module: WorkerModule; pool: PoolSettings }[];
  readonly relays: RelaySettings | undefined;
}

/** Has every module say what it serves. Throws, naming its file, when one cannot, or wants what another has. */
export function serveModules(
  modules: readonly ToldModule[],
  { log, clock, metrics }: { log: Logger; clock: Clock; metrics: BrokerMetrics },
): ServedModules {
  const all: ServedModule[] = [];
  const workers: { module: WorkerModule; pool: PoolSettings }[] = [];
  let relays: RelaySettings | undefined;
  for (const told of modules) {
    const wrong = (problem: string): Error => new Error(`${told.file ?? told.id}: ${problem}`);
    if (RESERVED.has(told.id) || all.some(other => other.told.id === told.id))
      throw wrong(`there is a module ${told.id} already`);
    const served = called(told, () => told.serve({ log, clock, metrics: new ModuleMeter(told.id, metrics.meters) }));
    const { worker, pool } = served;
    if ((worker === undefined) !== (pool === undefined)) throw wrong("`worker` and `pool` go together");
    if (worker !== undefined && worker.id !== told.id) throw wrong(`its worker has another id, ${worker.id}`);
    if (served.relays !== undefined && relays !== undefined) throw wrong("another module has the relays already");
    relays ??= served.relays;
    if (worker !== undefined && pool !== undefined) workers.push({ module: worker, pool });
    all.push({ told, served });
  }
  return { all, workers, relays };
}

/** Names in paths and in the state that are the broker's own. */
const RESERVED: ReadonlySet<string> = new Set(["server", "jobs", "transfer", "state", "client", "admin"]);

/** Calls into a module; what it throws names it. */
function called<T>({ file, id }: ToldModule, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new Error(`${file ?? id}: it cannot be started: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** The further routes of the modules. Throws, naming the file, for one that is there already. */
export function ownRoutes(modules: readonly ServedModule[], others: readonly Route[]): Route[] {
  const placeOf = ({ method, path }: Route): string => `${method} ${servedPath(path)}`;
  const taken = new Set(others.map(placeOf));
  return modules.flatMap(({ told, served: { routes = [] } }) =>
    routes.map(route => {
      const place = placeOf(route);
      if (taken.has(place)) throw new Error(`${told.file ?? told.id}: the route ${place} is there already`);
      taken.add(place);
      return route;
    }),
  );
}
