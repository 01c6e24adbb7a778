import { Drain } from "../../lib/drain.ts";
import { systemClock } from "../../lib/time.ts";
import type { Route } from "../../modules/route.ts";
import { routesOf, tagsOf } from "../app.ts";
import { OwnKeys } from "../http/access/own-keys.ts";
import { AccessLog } from "../http/access-log.ts";
import type { Tag } from "../http/document/openapi.ts";
import { type App, mount } from "../http/mount.ts";
import type { WebSocketServer } from "../http/web-socket.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { JOB_BODY_BYTES } from "../jobs/limits.ts";
import { Listener } from "../listen/listener.ts";
import { howToOpen, reachOf } from "../listen/reach.ts";
import { type ServedModules, serveModules } from "../modules.ts";
import { BrokerMetrics } from "../observe/metrics.ts";
import { OwnStates } from "../observe/own.ts";
import { declarePools, declareShared } from "../observe/pools.ts";
import type { StateSources } from "../observe/state.ts";
import { StateStreams } from "../observe/state-streams.ts";
import { Operator } from "../operator/operator.ts";
import { JOBS_FILE, KEYS_FILE, named } from "../people/backup.ts";
import { countUse } from "../people/count-use.ts";
import { Admission } from "../pool/admission.ts";
import { JoinedDirectory } from "../pool/directory.ts";
import type { Pool } from "../pool/pool.ts";
import { Relays } from "../relay/relays.ts";
import type { Transfers } from "../transfer/transfers.ts";
import { composeAccess, composeBodies } from "./access.ts";
import { composeControl } from "./control.ts";
import { composeJobs, composeTransfers } from "./jobs.ts";
import type { BrokerOptions, Common } from "./options.ts";
import { composeWorkers, type Workers } from "./workers.ts";

/** The parts of a broker that does not listen yet. */
export interface Parts extends Common, Workers {
  readonly modules: ServedModules;
  readonly relays: Relays | undefined;
  /** The pools of the worker modules and, last, that of the relays. */
  readonly pools: readonly Pool[];
  readonly jobs: Jobs;
  readonly transfers: Transfers;
  readonly state: StateStreams;
  readonly routes: readonly Route[];
  readonly tags: readonly Tag[];
  readonly app: App;
  /** The routes of the control socket, for operators on this machine. */
  readonly control: App;
  readonly listener: Listener;
}

/** Puts a broker together. Each part gets only parts that are there already, in the order in which folders may import each other. */
export function compose(options: BrokerOptions): Parts {
  const { values, log, droppedLogs, tracing, clock = systemClock, people } = options;
  const drain = new Drain();
  const reach = reachOf(values);
  if (reach.narrowed) log.warn({}, howToOpen(reach));
  const directory = new JoinedDirectory();
  const metrics = new BrokerMetrics({
    clock,
    served: model => directory.servedAs(model),
    isConnected: id => directory.has(id),
    ...(droppedLogs && { droppedLogs }),
  });
  tracing?.count(metrics.spans);
  const common: Common = { node: crypto.randomUUID().slice(0, 8), clock, log, drain, metrics };
  const modules = serveModules(options.modules, common);

  const listener = new Listener({
    address: reach,
    metricsAddress: values.metricsAddress,
    certFile: values.tlsCertFile,
    keyFile: values.tlsKeyFile,
    clock,
    log,
  });
  const server = (): WebSocketServer => listener.server;
  const { authenticator, cors, guard, tickets, proxies } = composeAccess(values, { reach, keys: people?.keys }, common);
  const bodies = composeBodies(values, common);

  const admission = new Admission(values.maxWorkers);
  const workers = composeWorkers(values, modules, { authenticator, bodies, admission, directory }, common);
  const workerPools = workers.mounted.map(({ pool }) => pool);

  const transfers = composeTransfers(values, common);
  const jobBodies = bodies.limits(JOB_BODY_BYTES);
  const jobs = composeJobs(values, transfers, jobBodies, common);

  const relays =
    modules.relays &&
    new Relays({
      ...common,
      settings: modules.relays,
      authenticator,
      ownKeys: new OwnKeys([values.apiKey, values.clientKey, values.adminKey], people?.keys),
      publicUrl: values.publicUrl,
      proxies,
      limits: bodies.limits(modules.relays.maxReqBytes),
      admission,
      expose: values.exposeRouting,
    });
  const pools = relays === undefined ? workerPools : [...workerPools, relays.pool];

  const sources: StateSources = {
    modules: modules.all,
    pools: workerPools,
    relays,
    jobs,
    drain,
    clock,
    startedAt: clock.now(),
    nodeId: common.node,
    admin: authenticator.hasAdmin,
    own: new OwnStates(log),
  };
  const state = new StateStreams(sources, log);
  declarePools(metrics.meters, pools);
  declareShared(metrics.meters, {
    memory: bodies.memory,
    disk: bodies.disk,
    drain,
    sessions: () => relays?.sessions.size ?? 0,
    listeners: () => state.listeners,
  });

  const routes = routesOf({
    modules: modules.all,
    mounted: workers.mounted,
    relays,
    jobs,
    transfers,
    metrics,
    sources,
    stateStreams: state,
    ticketRoutes: { tickets, bodies: jobBodies },
    operator: new Operator(pools, log),
    declared: options.declared,
    publicMetrics: listener.publicMetrics,
    openMetrics: values.metricsOpen,
    server,
    people: people && {
      people,
      clock,
      bodies: jobBodies,
      backedUp: [named(KEYS_FILE, people.store), named(JOBS_FILE, jobs)],
    },
  });
  const access = new AccessLog({
    log,
    clock,
    enabled: values.accessLog,
    tracer: tracing?.tracer,
    onEnd: people && ((record, status, error) => countUse(people.ledger, record, status, error)),
  });
  const app = mount(routes, { authenticator, guard, drain, server, access, metrics, clock, cors });
  const control = composeControl(routes, { drain, access, metrics, clock });

  return {
    ...common,
    ...workers,
    modules,
    relays,
    pools,
    jobs,
    transfers,
    state,
    routes,
    tags: tagsOf(modules.all),
    app,
    control,
    listener,
  };
}
