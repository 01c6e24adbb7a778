// Types of the public state. For the fields, see broker/observe/README.md.
import { z } from "zod";

const count = z.number().int().min(0);
const time = z.iso.datetime();

const build = { version: z.string(), build_sha: z.string(), build_date: z.string() };
const serverStatus = z.enum(["ready", "not_ready", "draining"]);

export const serverState = z.strictObject({
  now: time,
  ...build,
  node_id: z.string(),
  status: serverStatus,
  uptime_s: count,
  drainable_inflight: count,
  admin: z.boolean(),
  listeners: count,
  views: z.array(z.string()),
});

const series = z.array(z.number().min(0));

/** The last minutes of a module, by intervals. */
export const recentState = z.strictObject({
  interval_ms: count,
  until: time,
  requests: series,
  failed: series,
  input_tokens: series,
  output_tokens: series,
  embeddings: series,
  first_byte_ms: z.array(z.number().positive().nullable()),
});

const hostInfo = z.strictObject({
  hostname: z.string(),
  os_name: z.string(),
  os_version: z.string(),
  worker_version: z.string(),
  backend_version: z.string(),
  backend_family: z.string(),
});

export const workerStates = z.enum(["idle", "working", "not_ready", "draining", "gone"]);

const workerState = z.strictObject({
  id: z.string(),
  name: z.string(),
  ...build,
  host_info: hostInfo,
  host_cpu_percent: z.number().nullable(),
  host_ram_used_percent: z.number().nullable(),
  status: workerStates,
  drained_by_operator: z.boolean(),
  resting: z.boolean(),
  connected_at: time,
  last_heartbeat: time,
  disconnected_at: time.optional(),
  max_concurrency: count,
  inflight: count,
  embedding_batch_size: count,
  queue_len: count,
  models: z.array(z.string()),
  processed_total: count,
  failures_total: count,
  processing_ms_total: count,
  avg_processing_ms: count,
  input_tokens_total: z.number().min(0),
  output_tokens_total: z.number().min(0),
  embeddings_total: count,
  rates: z.strictObject({
    input_tokens_per_s: z.number().min(0),
    output_tokens_per_s: z.number().min(0),
    embeddings_per_s: z.number().min(0),
  }),
  last_error: z.string(),
  wire: z.union([z.literal(1), z.literal(2)]),
});

/** A worker module. */
export const moduleState = z.strictObject({
  server: z.strictObject({
    now: time,
    ...build,
    state: serverStatus,
    uptime_s: count,
    jobs_inflight_total: count,
    jobs_completed_total: count,
    jobs_failed_total: count,
    scheduler_queue_len: count,
    scheduler_queue_capacity: count,
  }),
  workers_summary: z.strictObject({
    connected: count,
    working: count,
    idle: count,
    not_ready: count,
    draining: count,
    gone: count,
  }),
  models: z.array(z.strictObject({ name: z.string(), workers: count, worker_ids: z.array(z.string()) })),
  workers: z.array(workerState),
  queue: z.array(
    z.strictObject({
      position: count,
      request_id: z.string(),
      model: z.string().optional(),
      worker_id: z.string().optional(),
      waiting_ms: count,
    }),
  ),
  recent: recentState,
});

/** Credentials of a relay's callers: its token, the broker's API key, or nothing. */
export const relayGuard = z.enum(["token", "api_key", "open"]);

/** The relays of MCP. */
export const relaysState = z.strictObject({
  clients: z.array(
    z.strictObject({
      id: z.string(),
      worker_id: z.string(),
      name: z.string(),
      /** Credentials of callers: the relay's token, the API key, or nothing. */
      guard: relayGuard,
      status: z.enum(["idle", "active"]),
      ready: z.boolean(),
      draining: z.boolean(),
      drained_by_operator: z.boolean(),
      inflight: count,
      max_concurrency: count,
      listeners: count,
      functions: z.record(z.string(), count),
      version: z.string(),
      wire: z.union([z.literal(1), z.literal(2)]),
      connected_at: time,
      last_heartbeat: time,
      last_error: z.string(),
      host_info: hostInfo,
    }),
  ),
  sessions: z.array(
    z.strictObject({
      id: z.string(),
      client_id: z.string(),
      method: z.string(),
      started_at: time,
      duration_ms: count,
    }),
  ),
  sessions_total: count,
  limits: z.strictObject({
    max_concurrency_per_client: count,
    max_req_bytes: count,
    max_resp_bytes: count,
    require_api_key: z.boolean(),
    allow_open: z.boolean(),
  }),
  recent: recentState,
});

export type ServerState = z.infer<typeof serverState>;
export type ServerStatus = z.infer<typeof serverStatus>;
export type RecentState = z.infer<typeof recentState>;
export type WorkerView = z.infer<typeof workerState>;
export type WorkerStatus = z.infer<typeof workerStates>;
export type ModuleState = z.infer<typeof moduleState>;
export type RelayGuard = z.infer<typeof relayGuard>;
export type RelaysState = z.infer<typeof relaysState>;
