import type { Drain } from "../lib/drain.ts";
import type { Timer } from "../lib/time.ts";
import type { Route } from "../modules/route.ts";
import { compose, type Parts } from "./compose/compose.ts";
import type { BrokerOptions } from "./compose/options.ts";
import type { Tag } from "./http/document/openapi.ts";
import type { App } from "./http/mount.ts";
import type { Jobs } from "./jobs/jobs.ts";
import type { BrokerMetrics } from "./observe/metrics.ts";
import { dismiss } from "./pool/agent-acceptor.ts";
import type { Mounted } from "./proxy/routes.ts";
import type { Watches } from "./proxy/watch/watches.ts";
import type { Relays } from "./relay/relays.ts";
import type { Transfers } from "./transfer/transfers.ts";

export type { BrokerOptions } from "./compose/options.ts";

/** A running broker. */
export class Broker {
  readonly drain: Drain;
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

  readonly #parts: Parts;
  readonly #loop: Timer;

  /** Starts listening. Throws when the port is taken or the certificate cannot be used. */
  static start(options: BrokerOptions): Broker {
    const parts = compose(options);
    listen(parts);
    return new Broker(parts);
  }

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.drain = parts.drain;
    this.mounted = parts.mounted;
    this.relays = parts.relays;
    this.jobs = parts.jobs;
    this.transfers = parts.transfers;
    this.metrics = parts.metrics;
    this.watches = parts.watches;
    this.routes = parts.routes;
    this.tags = parts.tags;
    this.app = parts.app;
    this.#loop = parts.metrics.watchLoop();
  }

  get port(): number {
    return this.#parts.listener.server.port ?? 0;
  }

  get metricsPort(): number | undefined {
    return this.#parts.listener.metricsPort;
  }

  /** How it is, in a line for people. */
  get summary(): string {
    const agents = this.#parts.pools.reduce((sum, pool) => sum + pool.directory.size, 0);
    const { draining, inflight } = this.drain;
    return `${draining ? "draining" : "serving"}: ${agents} agents connected, ${inflight} requests in flight`;
  }

  /** Answers an operator of this machine, who needs no key. */
  administer(request: Request): Response | Promise<Response> {
    return this.#parts.control.fetch(request);
  }

  /**
   * Accepts no new work and waits for running work, at most `timeoutMs` (Infinity: without limit, 0: not at all). True
   * if all of it finished.
   */
  finish(timeoutMs: number): Promise<boolean> {
    return this.drain.finish(this.#parts.clock, timeoutMs);
  }

  /** Closes every connection. Agents are asked to reconnect, because another broker may have replaced this one. */
  async stop(): Promise<void> {
    const { listener, state, watches, pools, transfers, jobs, modules } = this.#parts;
    this.#loop.cancel();
    listener.settle();
    state.close();
    watches.close();
    // Before the agents are disconnected: a queued request must get the reason of its refusal.
    for (const pool of pools) pool.stop();
    for (const pool of pools) {
      dismiss(pool);
      pool.close();
    }
    transfers.stop();
    await jobs.http.close();
    await listener.stop();
    await Promise.all([jobs.close(), modules.close()]);
  }
}

function listen({ listener, app, metrics, log }: Parts): void {
  listener.start({
    receive: request => app.fetch(request),
    onError: error => {
      metrics.unhandled();
      log.error({ cause: String(error) }, "unexpected error in a request");
    },
    metrics: () => metrics.response(),
  });
}
