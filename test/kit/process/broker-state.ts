// The state of a broker, summed over its modules.

/** The modules with workers. */
export type Module = "llm" | "asr" | "docling";
const MODULES: readonly Module[] = ["llm", "asr", "docling"];

/** As much of the broker's state as the tests look at, all modules together. */
export interface BrokerState {
  /** Slots taken, as the pool counts them. */
  inflight: number;
  waiting: number;
  /** Requests that a shutdown would wait for. */
  counted: number;
  /** Slots taken, as the workers and relays count them. */
  slots: number;
  /** What is under way at relays, listening included. */
  calls: number;
  /** Requests of relays that take no slot. */
  listeners: number;
  /** The summary of the jobs queue. */
  jobs: Record<"total_jobs" | "terminal_jobs", number>;
  workers: { id: string; status: string; inflight: number }[];
  relays: { id: string; ready: boolean; inflight: number; listeners: number }[];
}

type PoolState = {
  server: { jobs_inflight_total: number; scheduler_queue_len: number };
  workers: BrokerState["workers"];
};

type RelayState = { clients: BrokerState["relays"]; sessions: object[] };

/** Reads `/api/state`. */
export function stateOf({
  plugins,
}: {
  plugins: {
    server: { drainable_inflight: number };
    jobs: { summary: BrokerState["jobs"] };
    mcp?: RelayState;
  } & Record<Module, PoolState | undefined>;
}): BrokerState {
  const pools = MODULES.map(module => plugins[module]).filter(pool => pool !== undefined);
  const { clients, sessions }: RelayState = plugins.mcp ?? { clients: [], sessions: [] };
  const sum = (read: (pool: PoolState) => number): number => pools.reduce((total, pool) => total + read(pool), 0);
  const total = (read: (relay: RelayState["clients"][number]) => number): number =>
    clients.reduce((so, relay) => so + read(relay), 0);
  return {
    inflight: sum(pool => pool.server.jobs_inflight_total),
    waiting: sum(pool => pool.server.scheduler_queue_len),
    counted: plugins.server.drainable_inflight,
    jobs: plugins.jobs.summary,
    slots:
      sum(pool => pool.workers.reduce((slots, worker) => slots + worker.inflight, 0)) + total(relay => relay.inflight),
    calls: sessions.length,
    listeners: total(relay => relay.listeners),
    relays: clients.map(({ id, ready, inflight, listeners }) => ({ id, ready, inflight, listeners })),
    workers: pools.flatMap(pool => pool.workers.map(({ id, status, inflight }) => ({ id, status, inflight }))),
  };
}
