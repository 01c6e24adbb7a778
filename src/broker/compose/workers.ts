import { IdleLimit } from "../../lib/idle-limit.ts";
import { type PoolSettings, REQUEST_TIMEOUT_MS, type WorkerModule } from "../../modules/module.ts";
import type { Authenticator } from "../http/access/authenticator.ts";
import type { Bodies } from "../http/body/bodies.ts";
import type { ServedModules } from "../modules.ts";
import type { Admission } from "../pool/admission.ts";
import { AgentAcceptor, workerHandshake } from "../pool/agent-acceptor.ts";
import type { JoinedDirectory } from "../pool/directory.ts";
import { LocalOwnerMap, OWNERS_MAX, Owners } from "../pool/owners.ts";
import { Pool } from "../pool/pool.ts";
import { Pipeline } from "../proxy/pipeline.ts";
import type { Mounted } from "../proxy/routes.ts";
import { Watches } from "../proxy/watch/watches.ts";
import type { BrokerValues, Common } from "./options.ts";

export interface Workers {
  readonly mounted: readonly Mounted[];
  /** The WebSockets that follow tasks. */
  readonly watches: Watches;
}

/** A pool and a pipeline for each worker module. */
export function composeWorkers(
  values: BrokerValues,
  { workers }: Pick<ServedModules, "workers">,
  { authenticator, bodies, admission, directory }: WorkersParts,
  common: Common,
): Workers {
  const { node, clock, log, metrics } = common;
  const watches = new Watches(common);
  const expose = values.exposeRouting;
  const mounted = workers.map(({ module, pool: settings }): Mounted => {
    const pool = new Pool(module.id, clock, settings, values.startGraceMs);
    directory.add(pool.directory);
    const acceptor = new AgentAcceptor({
      handshake: workerHandshake,
      pool,
      authenticator,
      clock,
      log,
      metrics,
      admission,
    });
    const pipeline = new Pipeline({
      module,
      pool,
      metrics,
      clock,
      log,
      idle: new IdleLimit(clock, timeoutOf(module, settings, values.requestTimeoutMs)),
      retryLost: values.retryLost,
      expose,
      owners: new Owners(new LocalOwnerMap(clock, OWNERS_MAX), node),
      forwardHeaders: values.forwardHeaders,
      bodies: bodies.limits(values.maxBodyBytes),
      uploads: bodies.limits(values.maxUploadBytes),
    });
    return { module, pool, pipeline, acceptor, watches, expose };
  });
  return { mounted, watches };
}

interface WorkersParts {
  readonly authenticator: Authenticator;
  readonly bodies: Bodies;
  readonly admission: Admission;
  /** Gets each pool. */
  readonly directory: JoinedDirectory;
}

/** How long a request of a module may be silent: by its own option, the common one, or its default. */
function timeoutOf(module: WorkerModule, settings: PoolSettings, common: number | undefined): number {
  return settings.requestTimeoutMs ?? common ?? module.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
}
