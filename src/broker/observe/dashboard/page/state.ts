// The state as the broker sends it; see ../../README.md. Fields that an older broker omits are optional.

export interface State {
  plugins: Record<string, Plugin> & { server?: ServerState; mcp?: RelaysState; jobs?: JobsState };
}

type Plugin = ServerState | ModuleState | RelaysState | JobsState | undefined;

interface ServerState {
  now?: string;
  version: string;
  build_sha?: string;
  node_id?: string;
  status: "ready" | "not_ready" | "draining";
  uptime_s: number;
  drainable_inflight: number;
  admin?: boolean;
  views?: string[];
}

export interface ModuleState {
  server: { scheduler_queue_len: number; scheduler_queue_capacity: number };
  workers_summary: { connected: number; working: number; idle: number; not_ready: number; draining?: number };
  models: ModelState[];
  workers: WorkerState[];
  queue?: WaitingState[];
  recent?: Recent;
}

export interface ModelState {
  name: string;
  workers: number;
  worker_ids?: string[];
}

export interface WaitingState {
  position: number;
  request_id: string;
  model?: string;
  worker_id?: string;
  waiting_ms: number;
}

export interface HostInfo {
  hostname?: string;
  os_name?: string;
  os_version?: string;
  backend_version?: string;
  backend_family?: string;
}

export interface WorkerState {
  id: string;
  name: string;
  version: string;
  host_info?: HostInfo;
  host_cpu_percent?: number | null;
  host_ram_used_percent?: number | null;
  status: string;
  drained_by_operator?: boolean;
  resting?: boolean;
  last_heartbeat: string;
  disconnected_at?: string;
  max_concurrency: number;
  inflight: number;
  embedding_batch_size?: number;
  processed_total: number;
  failures_total: number;
  input_tokens_total: number;
  output_tokens_total: number;
  embeddings_total?: number;
  rates?: { input_tokens_per_s: number; output_tokens_per_s: number; embeddings_per_s: number };
  last_error: string;
  models?: string[];
}

/** The last intervals, oldest first; each number is the sum over one of them, `first_byte_ms` the median. */
export interface Recent {
  interval_ms: number;
  until?: string;
  requests: number[];
  failed: number[];
  input_tokens: number[];
  output_tokens: number[];
  embeddings: number[];
  first_byte_ms: (number | null)[];
}

export interface RelaysState {
  clients: RelayState[];
  sessions: CallState[];
  sessions_total?: number;
  recent?: Recent;
}

export interface RelayState {
  guard?: string;
  id: string;
  worker_id?: string;
  name: string;
  status: string;
  ready: boolean;
  drained_by_operator?: boolean;
  draining?: boolean;
  inflight: number;
  max_concurrency?: number;
  listeners: number;
  functions: Record<string, number>;
  version: string;
  host_info?: HostInfo;
  last_heartbeat?: string;
  last_error?: string;
}

export interface CallState {
  id: string;
  client_id: string;
  method: string;
  started_at: string;
  duration_ms: number;
}

export interface JobsState {
  summary: JobsSummary;
  workers: JobWorkerState[];
  jobs: JobState[];
}

export interface JobsSummary {
  queued_jobs: number;
  claimed_jobs: number;
  running_jobs: number;
  awaiting_transfers: number;
  completed_jobs: number;
  failed_jobs: number;
  canceled_jobs: number;
  oldest_queued_seconds: number;
  avg_queue_wait_ms: number;
  avg_service_ms: number;
}

export interface JobWorkerState {
  key: string;
  worker_id: string;
  worker_group: string;
  last_seen_at: string;
  last_claim_at?: string;
  last_claim_mode?: string;
  last_job_id?: string;
  types: string[];
  stream_count: number;
  active: boolean;
}

export interface JobState {
  id: string;
  type: string;
  status: string;
  worker_id?: string;
  claimed_worker_id?: string;
  claimed_worker_group?: string;
  progress?: Record<string, unknown>;
  error?: { code: string; message: string };
  created_at: string;
  updated_at: string;
}

/** The worker modules in the order in which the broker has them. */
export function modulesOf({ plugins }: State): [id: string, module: ModuleState][] {
  return Object.entries(plugins).flatMap(([id, plugin]): [string, ModuleState][] =>
    plugin !== undefined && "workers_summary" in plugin ? [[id, plugin]] : [],
  );
}

/** The broker's time: that of this machine may be another. */
export function nowOf({ plugins }: State): number {
  return Date.parse(plugins.server?.now ?? "") || Date.now();
}
