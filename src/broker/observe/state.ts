// The state envelope: what an operator's tools read.

import type { Drain } from "../../lib/drain.ts";
import type { Clock } from "../../lib/time.ts";
import { DATE, SHA, VERSION } from "../../lib/version.ts";
import type { Jobs } from "../jobs/jobs.ts";
import type { Pool } from "../pool/pool.ts";
import type { Worker } from "../pool/worker.ts";
import type { Relays } from "../relay/relays.ts";

export type ServerStatus = "ready" | "not_ready" | "draining";

export interface StateSources {
  pools: readonly Pool[];
  relays: Relays | undefined;
  jobs: Jobs;
  drain: Drain;
  clock: Clock;
  startedAt: number;
  nodeId: string;
}

/** Why the broker can or cannot serve anybody. */
export function serverStatus({ pools, relays, drain }: StateSources): ServerStatus {
  if (drain.draining) return "draining";
  const all = relays === undefined ? pools : [...pools, relays.pool];
  return all.some(pool => pool.registry.size > 0) ? "ready" : "not_ready";
}

export async function readState(sources: StateSources): Promise<{ plugins: Record<string, unknown> }> {
  const plugins: Record<string, unknown> = { server: serverState(sources) };
  for (const pool of sources.pools) plugins[pool.moduleId] = poolState(pool, sources);
  if (sources.relays !== undefined) plugins["mcp"] = sources.relays.state();
  plugins["jobs"] = await sources.jobs.state();
  return { plugins };
}

function serverState(sources: StateSources): object {
  return {
    ...build,
    node_id: sources.nodeId,
    status: serverStatus(sources),
    uptime_s: uptime(sources),
    drainable_inflight: sources.drain.inflight,
  };
}

const build = { version: VERSION, build_sha: SHA, build_date: DATE };

function uptime({ clock, startedAt }: StateSources): number {
  return Math.floor((clock.now() - startedAt) / 1000);
}

function poolState(pool: Pool, sources: StateSources): object {
  const workers = [...pool.registry.workers];
  const count = (...states: string[]): number => workers.filter(worker => states.includes(worker.state)).length;
  return {
    server: {
      now: iso(sources.clock.wall()),
      ...build,
      state: serverStatus(sources),
      uptime_s: uptime(sources),
      jobs_inflight_total: pool.inflight,
      jobs_completed_total: pool.totals.completed,
      jobs_failed_total: pool.totals.failed,
      scheduler_queue_len: pool.waiting,
      scheduler_queue_capacity: pool.settings.queueSize,
    },
    workers_summary: {
      connected: workers.length,
      working: count("working"),
      idle: count("idle"),
      not_ready: count("not_ready"),
      gone: count("gone"),
    },
    models: pool.registry.models().map(({ id, owners }) => ({ name: id, workers: owners.length })),
    workers: workers.map(workerState),
  };
}

function workerState(worker: Worker): object {
  const { totals, facts } = worker;
  return {
    id: worker.id,
    name: worker.name,
    version: worker.version,
    build_sha: worker.buildSha,
    build_date: worker.buildDate,
    host_info: {
      hostname: facts["hostname"] ?? "",
      os_name: facts["os_name"] ?? "",
      os_version: facts["os_version"] ?? "",
      worker_version: worker.version,
      backend_version: facts["backend_version"] ?? "",
      backend_family: facts["backend_family"] ?? "",
    },
    host_cpu_percent: worker.hostCpuPercent ?? null,
    host_ram_used_percent: worker.hostRamUsedPercent ?? null,
    input_tokens_total: totals.tokensIn,
    output_tokens_total: totals.tokensOut,
    embeddings_total: totals.embeddings,
    status: worker.state,
    connected_at: iso(worker.connectedAt),
    last_heartbeat: iso(worker.lastHeartbeat),
    max_concurrency: worker.maxConcurrency,
    embedding_batch_size: worker.batchSize,
    processed_total: totals.processed,
    processing_ms_total: Math.round(totals.processingMs),
    avg_processing_ms: totals.processed === 0 ? 0 : Math.round(totals.processingMs / totals.processed),
    inflight: worker.inflight,
    failures_total: totals.failed,
    queue_len: 0,
    last_error: worker.lastError,
    models: [...worker.models],
    wire: worker.link.version,
  };
}

function iso(wall: number): string {
  return new Date(wall).toISOString();
}
