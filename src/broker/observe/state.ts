// The state envelope. README.md describes its fields.
import type { Drain } from "../../lib/drain.ts";
import { type Clock, isoTime } from "../../lib/time.ts";
import { DATE, SHA, VERSION } from "../../lib/version.ts";
import type { ConfiguredModule, Served, Shown } from "../../modules/module.ts";
import type { ModuleState, ServerState, ServerStatus, WorkerStatus, WorkerView } from "../../modules/state.ts";
import type { Directory, WorkerRecord } from "../pool/directory.ts";
import type { Pool } from "../pool/pool.ts";
import type { OwnStates } from "./own.ts";

/** Maximum number of queued requests per module in the state. */
const QUEUE_SHOWN_MAX = 50;

/** A module and what it serves. */
export interface ServedModule {
  readonly configured: ConfiguredModule;
  readonly served: Served;
}

export interface StateSources {
  modules: readonly ServedModule[];
  pools: readonly Pool[];
  relays: { readonly pool: Pool; state(): object } | undefined;
  /** Jobs in the state, as JSON, with more detail for operators. */
  jobs: { state(operator: boolean): Promise<string> };
  drain: Drain;
  clock: Clock;
  startedAt: number;
  nodeId: string;
  /** Operator actions are enabled. */
  admin: boolean;
  own: OwnStates;
}

/** The readiness of the broker, with the reason. */
export function serverStatus({ pools, relays, drain }: StateSources): ServerStatus {
  if (drain.draining) return "draining";
  const all = relays === undefined ? pools : [...pools, relays.pool];
  return all.some(pool => readinessOf(pool.directory).ready) ? "ready" : "not_ready";
}

/** Whether a module can serve a request now, and why. */
export function readinessOf(directory: Directory): { ready: boolean; reason: string } {
  const workers = directory.records();
  const serving = workers.filter(worker => worker.available).length;
  if (serving > 0) return { ready: true, reason: `${serving} of ${workers.length} connected workers can serve` };
  if (workers.length === 0) return { ready: false, reason: "no worker is connected" };
  return workers.some(worker => worker.present)
    ? { ready: false, reason: "no connected worker can reach its backend" }
    : { ready: false, reason: "every connected worker is draining" };
}

/** The whole envelope as JSON; an operator sees more of the jobs. `listeners` is the number of open state streams. */
export async function readState(sources: StateSources, operator: boolean, listeners: number): Promise<string> {
  const plugins: Record<string, unknown> = { server: serverState(sources, listeners) };
  for (const { configured, served } of sources.modules)
    plugins[configured.id] = stateOf(configured.id, served, sources);
  const jobs = await sources.jobs.state(operator);
  return `{"plugins":${JSON.stringify(plugins).slice(0, -1)},"jobs":${jobs}}}`;
}

/** The state of a module: its pool or its relays, and its own state. */
function stateOf(id: string, served: Served, sources: StateSources): object {
  const pool = sources.pools.find(({ moduleId }) => moduleId === id);
  return {
    ...(pool !== undefined && moduleState(pool, sources)),
    ...(served.relays !== undefined && sources.relays?.state()),
    ...(served.state !== undefined && { own: sources.own.of(id, served) }),
  };
}

/** Input of a module's view. */
export function shownOf(id: string, served: Served, sources: StateSources): Shown {
  const pool = sources.pools.find(({ moduleId }) => moduleId === id);
  return { pool: pool && moduleState(pool, sources), own: sources.own.of(id, served) };
}

function serverState(sources: StateSources, listeners: number): ServerState {
  return {
    now: isoTime(sources.clock.wall()),
    ...build,
    node_id: sources.nodeId,
    status: serverStatus(sources),
    uptime_s: uptime(sources),
    drainable_inflight: sources.drain.inflight,
    admin: sources.admin,
    listeners,
    views: sources.modules.filter(({ served }) => served.view !== undefined).map(({ configured }) => configured.id),
  };
}

const build = { version: VERSION, build_sha: SHA, build_date: DATE };

function uptime({ clock, startedAt }: StateSources): number {
  return Math.floor((clock.now() - startedAt) / 1000);
}

/** The state of a worker module. */
function moduleState(pool: Pool, sources: StateSources): ModuleState {
  const { clock } = sources;
  const [now, wall] = [clock.now(), clock.wall()];
  const workers = pool.directory.records();
  const gone = pool.departed.entries().map(([, departed]) => departed);
  const counts: Record<WorkerStatus, number> = { working: 0, idle: 0, not_ready: 0, draining: 0, gone: gone.length };
  for (const { state } of workers) counts[state]++;
  return {
    server: {
      now: isoTime(wall),
      ...build,
      state: serverStatus(sources),
      uptime_s: uptime(sources),
      jobs_inflight_total: pool.inflight,
      jobs_completed_total: pool.totals.completed,
      jobs_failed_total: pool.totals.failed,
      scheduler_queue_len: pool.waiting,
      scheduler_queue_capacity: pool.settings.queueSize,
    },
    workers_summary: { connected: workers.length, ...counts },
    models: pool.directory
      .models()
      .map(({ id, workerIds }) => ({ name: id, workers: workerIds.length, worker_ids: workerIds })),
    workers: [
      ...workers.map(worker => workerState(worker, now)),
      ...gone.map(({ worker, wall: left }) => ({
        ...workerState(worker, now),
        drained_by_operator: pool.drains(pool.handleOf(worker)),
        disconnected_at: isoTime(left),
      })),
    ],
    queue: pool.queued(QUEUE_SHOWN_MAX).map(({ slotRequest, waitingMs }, at) => ({
      position: at + 1,
      request_id: slotRequest.requestId ?? "",
      ...(slotRequest.label !== undefined && { model: slotRequest.label }),
      ...(slotRequest.workerId !== undefined && { worker_id: slotRequest.workerId }),
      waiting_ms: Math.round(waitingMs),
    })),
    recent: pool.recent.view(now, wall),
  };
}

function workerState(worker: WorkerRecord, now: number): WorkerView {
  const { totals } = worker;
  return {
    id: worker.id,
    name: worker.name,
    version: worker.version,
    build_sha: worker.buildSha,
    build_date: worker.buildDate,
    host_info: worker.hostInfo,
    host_cpu_percent: worker.hostCpuPercent ?? null,
    host_ram_used_percent: worker.hostRamUsedPercent ?? null,
    input_tokens_total: totals.tokensIn,
    output_tokens_total: totals.tokensOut,
    embeddings_total: totals.embeddings,
    rates: worker.rates.view(now),
    status: worker.state,
    drained_by_operator: worker.drainedByOperator,
    resting: worker.resting,
    connected_at: isoTime(worker.connectedAt),
    last_heartbeat: isoTime(worker.lastHeartbeat),
    max_concurrency: worker.maxConcurrency,
    embedding_batch_size: worker.batchSize,
    processed_total: totals.processed,
    processing_ms_total: Math.round(totals.processingMs),
    avg_processing_ms: totals.processed === 0 ? 0 : Math.round(totals.processingMs / totals.processed),
    inflight: worker.inflight,
    failures_total: totals.failed,
    queue_len: 0,
    last_error: worker.lastError,
    models: [...worker.models].sort(),
    wire: worker.wire,
  };
}
