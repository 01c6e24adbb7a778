import type { brokerOptions } from "../config/broker.ts";
import type { Values } from "../config/group.ts";
import { Drain } from "../lib/drain.ts";
import { TrustedProxies } from "../lib/http.ts";
import type { Logger } from "../lib/log.ts";
import { OriginGuard } from "../lib/origin-guard.ts";
import { type Clock, systemClock, type Timer } from "../lib/time.ts";
import type { Tracing } from "../lib/tracing.ts";
import { type ConfiguredModule, type PoolSettings, REQUEST_TIMEOUT_MS, type WorkerModule } from "../modules/module.ts";
import type { Route } from "../modules/route.ts";
import { routesOf, tagsOf } from "./app.ts";
import { Cors } from "./cors.ts";
import { OwnKeys } from "./credentials.ts";
import { AccessLog } from "./http/access-log.ts";
import { Authenticator } from "./http/authenticator.ts";
import { Bodies } from "./http/body/bodies.ts";
import { type App, mount } from "./http/mount.ts";
import type { Tag } from "./http/openapi.ts";
import { Tickets } from "./http/tickets.ts";
import { Jobs, type JobsOptions } from "./jobs/jobs.ts";
import { JOB_BODY_BYTES } from "./jobs/limits.ts";
import { openStore } from "./jobs/store/open.ts";
import { KeyThrottle } from "./key-throttle.ts";
import { Listener } from "./listener.ts";
import { type ServedModules, serveModules } from "./modules.ts";
import { BrokerMetrics } from "./observe/metrics.ts";
import { OwnStates } from "./observe/own.ts";
import type { DeclaredOptions } from "./observe/plugin-routes.ts";
import { declarePools, declareShared } from "./observe/pools.ts";
import { readState, type StateSources } from "./observe/state.ts";
import { StateStream } from "./observe/stream.ts";
import { Operator } from "./operator/operator.ts";
import { Admission } from "./pool/admission.ts";
import { AgentAcceptor, dismiss, workerHandshake } from "./pool/agent-acceptor.ts";
import type { Upgrader } from "./pool/agent-upgrade.ts";
import { Owners } from "./pool/owners.ts";
import { Pool } from "./pool/pool.ts";
import { Pipeline } from "./proxy/pipeline.ts";
import type { Mounted } from "./proxy/routes.ts";
import { Watches } from "./proxy/watches.ts";
import { howToOpen, type Reach, reachOf } from "./reach.ts";
import { Relays } from "./relay/relays.ts";
import { TransferMetrics } from "./transfer/metrics.ts";
import { Transfers } from "./transfer/transfers.ts";

export interface BrokerOptions {
  values: Values<typeof brokerOptions>;
  modules: readonly ConfiguredModule[];
  log: Logger;
  /** Log lines that could not be written. */
  droppedLogs?: () => number;
  /** Makes traces, when given. */
  tracing?: Tracing | undefined;
  clock?: Clock;
  /** Where the options are declared, for whoever asks what can be set. */
  declared?: DeclaredOptions;
}

/** A running broker. */
export class Broker {
  readonly drain = new Drain();
  readonly mounted: readonly Mounted[];
  readonly relays: Relays | undefined;
  readonly jobs: Jobs;
  readonly transfers: Transfers;
  readonly metrics: BrokerMetrics;
  /** The WebSockets that follow tasks. */
  readonly watches: Watches;
  /** Every public route, as it is declared. */
  readonly routes: readonly Route[];
  /** The parts of the API that they belong to. */
  readonly tags: readonly Tag[];
  /** The routes as they are served. */
  readonly app: App;

  readonly #options: BrokerOptions;
  readonly #clock: Clock;
  readonly #stateStreams: { readonly all: StateStream; readonly operator: StateStream };
  readonly #modules: ServedModules;
  readonly #listener: Listener;
  #loop: Timer | undefined;

  /** Starts listening. Throws when the port is taken or the certificate cannot be used. */
  static start(options: BrokerOptions): Broker {
    const broker = new Broker(options);
    broker.#listener.start();
    broker.#loop = broker.metrics.watchLoop();
    return broker;
  }

  private constructor(options: BrokerOptions) {
    const { values, modules, log } = options;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const cors = new Cors(values.allowedOrigins, origin =>
      log.warn({ origin }, "blocked a page of another origin; to allow it, add the origin to ALLOWED_ORIGINS"),
    );
    const proxies = new TrustedProxies(values.trustedProxies);
    const throttle = new KeyThrottle({
      clock: this.#clock,
      onWrongKey: (kind, throttled) => this.metrics.wrongKey(kind, throttled),
    });
    const tickets = new Tickets(this.#clock);
    const authenticator = new Authenticator({
      api: { key: values.apiKey, roles: values.apiHttpRoles },
      client: { key: values.clientKey, roles: values.clientHttpRoles },
      admin: { key: values.adminKey },
      proxies,
      throttle,
      tickets,
    });
    if (authenticator.isOpen("api")) log.warn({}, "the API requires no key: set API_KEY or API_HTTP_ROLES");
    if (authenticator.isOpen("client")) log.warn({}, "agents need no key: set CLIENT_KEY or CLIENT_HTTP_ROLES");
    const reach = reachOf(values);
    if (reach.narrowed) log.warn({}, howToOpen(reach));
    const pools = (): Pool[] => this.mounted.map(({ pool }) => pool);
    this.metrics = new BrokerMetrics({
      clock: this.#clock,
      served: model => first(pools(), pool => pool.registry.servedAs(model)),
      isConnected: id => pools().some(pool => pool.registry.get(id) !== undefined),
      ...(options.droppedLogs && { droppedLogs: options.droppedLogs }),
    });
    const bodies = new Bodies({
      ...values,
      pace: { clock: this.#clock, bytesPerSecond: values.bodyMinRate },
    });
    void bodies.spool.trouble().then(cause => {
      const dir = values.uploadSpoolDir;
      if (cause !== undefined) log.warn({ dir, cause }, "cannot use UPLOAD_SPOOL_DIR: some large uploads will fail");
    });
    const clock = this.#clock;
    const { drain, metrics } = this;
    const { tracing } = options;
    tracing?.count(metrics.spans);
    const access = new AccessLog({ log, clock, enabled: values.accessLog, tracer: tracing?.tracer });
    const expose = values.exposeRouting;
    this.#modules = serveModules(modules, { log, clock, metrics });
    const { all, workers, relays } = this.#modules;
    const listener = this.#makeListener(reach);
    this.#listener = listener;
    const admission = new Admission(values.maxWorkers);
    const watches = new Watches({ clock, drain, metrics });
    this.watches = watches;
    this.mounted = workers.map(({ module, pool: settings }) => {
      const pool = new Pool(module.id, clock, settings, values.startGraceMs);
      const door = new AgentAcceptor({
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
        requestTimeoutMs: timeoutOf(module, settings, values.requestTimeoutMs),
        retryLost: values.retryLost,
        expose,
        owners: new Owners(clock),
        forwardHeaders: values.forwardHeaders,
        bodies: bodies.limits(values.maxBodyBytes),
        uploads: bodies.limits(values.maxUploadBytes),
      });
      return { module, pool, pipeline, door, watches, expose };
    });
    const guard = new OriginGuard({
      allowsOrigin: origin => cors.allows(origin),
      hosts: values.allowedHosts,
      publicUrl: values.publicUrl,
      listensOn: reach.host,
    });
    this.relays =
      relays &&
      new Relays({
        settings: relays,
        authenticator,
        ownKeys: new OwnKeys([values.apiKey, values.clientKey, values.adminKey]),
        publicUrl: values.publicUrl,
        proxies,
        drain,
        clock,
        log,
        metrics,
        limits: bodies.limits(relays.maxReqBytes),
        admission,
        expose,
      });
    this.transfers = new Transfers({
      clock,
      log,
      metrics: new TransferMetrics(metrics),
      drain,
      limits: {
        ttlMs: values.transferTtlMs,
        idleMs: values.transferIdleMs,
        channels: values.transferMaxChannels,
      },
    });
    const jobBodies = bodies.limits(JOB_BODY_BYTES);
    this.jobs = this.#openJobs(jobBodies);
    const sources: StateSources = {
      modules: all,
      pools: this.mounted.map(({ pool }) => pool),
      relays: this.relays,
      jobs: this.jobs,
      drain,
      clock,
      startedAt: clock.now(),
      nodeId: crypto.randomUUID().slice(0, 8),
      admin: authenticator.hasAdmin,
      listeners: () => this.#stateListeners,
      own: new OwnStates(log),
    };
    declarePools(metrics.meters, this.#pools);
    declareShared(metrics.meters, {
      memory: bodies.memory,
      disk: bodies.disk,
      drain,
      sessions: () => this.relays?.sessions.size ?? 0,
      listeners: () => this.#stateListeners,
    });
    const stateStream = (operator: boolean): StateStream =>
      new StateStream(
        clock,
        () => readState(sources, operator),
        error => log.error({ cause: String(error) }, "cannot read the state"),
      );
    this.#stateStreams = { all: stateStream(false), operator: stateStream(true) };
    const server = (): Upgrader => listener.server;
    this.tags = tagsOf(all);
    this.routes = routesOf({
      modules: all,
      mounted: this.mounted,
      relays: this.relays,
      jobs: this.jobs,
      transfers: this.transfers,
      metrics,
      sources,
      stateStreams: this.#stateStreams,
      ticketRoutes: { tickets, bodies: jobBodies },
      operator: new Operator(this.#pools, log),
      declared: options.declared,
      publicMetrics: listener.publicMetrics,
      openMetrics: values.metricsOpen,
      server,
    });
    this.app = mount(this.routes, {
      authenticator,
      guard,
      drain,
      server,
      access,
      metrics,
      clock,
      cors,
    });
  }

  get port(): number {
    return this.#listener.server.port ?? 0;
  }

  get metricsPort(): number | undefined {
    return this.#listener.metricsPort;
  }

  /** How it is, in a line for people. */
  get summary(): string {
    const agents = this.#pools.reduce((sum, pool) => sum + pool.registry.size, 0);
    const { draining, inflight } = this.drain;
    return `${draining ? "draining" : "serving"}: ${agents} agents connected, ${inflight} requests in flight`;
  }

  /** Takes no new work, waits for what runs, at most `timeoutMs` (Infinity waits for ever, 0 not at all). True when all of it finished. */
  finish(timeoutMs: number): Promise<boolean> {
    return this.drain.finish(this.#clock, timeoutMs);
  }

  /** Closes every connection. Agents are told to come back, for another broker may have taken this one's place. */
  async stop(): Promise<void> {
    this.#loop?.cancel();
    this.#listener.settle();
    for (const stream of Object.values(this.#stateStreams)) stream.close();
    this.watches.close();
    // Before the agents are sent away: a request that waits for one must hear why it is refused.
    for (const pool of this.#pools) pool.stop();
    for (const pool of this.#pools) {
      dismiss(pool);
      pool.close();
    }
    this.transfers.stop();
    await this.jobs.http.close();
    await this.#listener.stop();
    await Promise.all([this.jobs.close(), this.#modules.close()]);
  }

  #openJobs(bodies: JobsOptions["bodies"]): Jobs {
    const { values, log } = this.#options;
    const { drain, metrics } = this;
    const clock = this.#clock;
    const limits = { maxJobs: values.jobsMax, maxBytes: values.jobsMaxBytes };
    return new Jobs({
      store: openStore(values.jobsStore, clock, limits, log),
      channels: this.transfers,
      settings: {
        leaseMs: values.jobsLeaseMs,
        maxAttempts: values.jobsMaxAttempts,
        clientTtlMs: values.jobsClientTtlMs,
        retentionMs: values.jobsRetentionMs,
        maxEnded: values.jobsMaxEnded,
      },
      closeDelayMs: values.jobsSseCloseDelayMs,
      bodies,
      drain,
      metrics,
      clock,
      log,
    });
  }

  get #stateListeners(): number {
    const { all, operator } = this.#stateStreams;
    return all.listeners + operator.listeners;
  }

  get #pools(): Pool[] {
    const pools = this.mounted.map(({ pool }) => pool);
    return this.relays === undefined ? pools : [...pools, this.relays.pool];
  }

  #makeListener(address: Reach): Listener {
    const { values, log } = this.#options;
    return new Listener({
      address,
      metricsAddress: values.metricsAddress,
      certFile: values.tlsCertFile,
      keyFile: values.tlsKeyFile,
      receive: request => this.app.fetch(request),
      onError: error => {
        this.metrics.unhandled();
        log.error({ cause: String(error) }, "unexpected error in a request");
      },
      metrics: () => this.metrics.response(),
      clock: this.#clock,
      log,
    });
  }
}

/** How long a request of a module may be silent: by its own option, the common one, or its default. */
function timeoutOf(module: WorkerModule, settings: PoolSettings, common: number | undefined): number {
  return settings.requestTimeoutMs ?? common ?? module.requestTimeoutMs ?? REQUEST_TIMEOUT_MS;
}

/** The first answer that there is. */
function first<T, U>(all: readonly T[], ask: (one: T) => U | undefined): U | undefined {
  for (const one of all) {
    const answer = ask(one);
    if (answer !== undefined) return answer;
  }
  return undefined;
}
