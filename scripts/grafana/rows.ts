// What the Grafana dashboard shows. Every expression is held against the declarations of the metrics by a test.

export interface Query {
  expr: string;
  /** What a line is called; labels in braces. */
  legend: string;
}

export interface Panel {
  title: string;
  /** As Grafana calls it. */
  unit: string;
  queries: readonly Query[];
  /** One number instead of lines over time. */
  stat?: boolean;
  /** Lines on top of each other. */
  stacked?: boolean;
  description?: string;
}

export interface Row {
  title: string;
  panels: readonly Panel[];
}

const BROKER = 'instance=~"$instance"';
const MODULE = `${BROKER},ext=~"$ext"`;
const LLM = `${BROKER},ext="llm"`;
const MCP = `${BROKER},ext="mcp"`;
const AGENT = 'instance=~"$agent"';

const query = (expr: string, legend: string): Query => ({ expr, legend });
const rate = (metric: string, where: string): string => `rate(${metric}{${where}}[$__rate_interval])`;
const sumRate = (by: string, metric: string, where: string): string =>
  by === "" ? `sum(${rate(metric, where)})` : `sum by (${by}) (${rate(metric, where)})`;

/** Percentiles of a histogram. */
function percentiles(metric: string, where: string, shares: readonly number[] = [0.5, 0.95, 0.99], by = ""): Query[] {
  return shares.map(share =>
    query(
      `histogram_quantile(${share}, ${sumRate(by === "" ? "le" : `le, ${by}`, `${metric}_bucket`, where)})`,
      `p${share * 100}${by === "" ? "" : ` {{${by}}}`}`,
    ),
  );
}

const panel = (title: string, unit: string, ...queries: readonly Query[]): Panel => ({ title, unit, queries });
const stacked = (title: string, unit: string, ...queries: readonly Query[]): Panel => ({
  title,
  unit,
  queries,
  stacked: true,
});
const stat = (title: string, unit: string, expr: string): Panel => ({
  title,
  unit,
  queries: [query(expr, "")],
  stat: true,
});

const FAILED = 'success="false",error_code!="canceled"';

export const ROWS: readonly Row[] = [
  {
    title: "At a glance",
    panels: [
      stat("Requests", "reqps", sumRate("", "nfrx_request_total", MODULE)),
      stat(
        "Failed",
        "percentunit",
        `${sumRate("", "nfrx_request_completed_total", `${MODULE},${FAILED}`)} / ${sumRate("", "nfrx_request_completed_total", MODULE)}`,
      ),
      stat("First byte, p95", "s", percentiles("nfrx_request_first_byte_seconds", MODULE, [0.95])[0]?.expr ?? ""),
      stat("In flight", "short", `sum(nfrx_request_inflight{${MODULE}})`),
      stat("Waiting", "short", `sum(nfrx_queue_length{${MODULE}})`),
      stat("Workers", "short", `sum(nfrx_workers_connected{${MODULE}})`),
      stat("Tokens out", "short", sumRate("", "nfrx_request_size_total", `${MODULE},size_kind="tokens_out"`)),
      stat("Up since", "dateTimeAsIso", `max(process_start_time_seconds{${BROKER}}) * 1000`),
    ],
  },
  {
    title: "Traffic and errors",
    panels: [
      stacked("Requests", "reqps", query(sumRate("job_type", "nfrx_request_total", MODULE), "{{job_type}}")),
      stacked(
        "Errors by code",
        "reqps",
        query(sumRate("error_code", "nfrx_request_completed_total", `${MODULE},success="false"`), "{{error_code}}"),
      ),
      stacked(
        "Backend responses",
        "reqps",
        query(sumRate("status", "nfrx_request_backend_answers_total", MODULE), "{{status}}"),
      ),
      stacked(
        "Canceled by clients",
        "reqps",
        query(sumRate("phase", "nfrx_request_canceled_total", MODULE), "{{phase}}"),
      ),
      stacked("Rejected", "reqps", query(sumRate("reason", "nfrx_refused_total", BROKER), "{{reason}}")),
      stacked(
        "Retries on another worker",
        "reqps",
        query(sumRate("ext", "nfrx_request_retries_total", MODULE), "{{ext}}"),
      ),
    ],
  },
  {
    title: "Latency",
    panels: [
      panel("Whole request", "s", ...percentiles("nfrx_request_duration_seconds", MODULE)),
      panel("First byte", "s", ...percentiles("nfrx_request_first_byte_seconds", MODULE)),
      panel("Between chunks of a stream", "s", ...percentiles("nfrx_request_gap_seconds", MODULE)),
      panel("In the queue", "s", ...percentiles("nfrx_request_queue_seconds", MODULE)),
      panel("First byte by model, p95", "s", ...percentiles("nfrx_request_first_byte_seconds", LLM, [0.95], "label")),
      panel(
        "At the worker, p95",
        "s",
        ...percentiles("nfrx_llm_request_duration_seconds", BROKER, [0.95], "worker_id"),
      ),
    ],
  },
  {
    title: "Queue, workers and slots",
    panels: [
      panel(
        "Queue",
        "short",
        query(`sum by (ext) (nfrx_queue_length{${MODULE}})`, "{{ext}} waiting"),
        query(`sum by (ext) (nfrx_queue_capacity{${MODULE}})`, "{{ext}} capacity"),
      ),
      panel(
        "Slots",
        "short",
        query(`sum by (ext) (nfrx_seats_taken{${MODULE}})`, "{{ext}} in use"),
        query(`sum by (ext) (nfrx_seats{${MODULE}})`, "{{ext}} all"),
      ),
      stacked("Workers", "short", query(`sum by (ext, state) (nfrx_workers{${MODULE}})`, "{{ext}} {{state}}")),
      panel(
        "Connections and disconnections of workers",
        "short",
        query(`sum by (ext) (increase(nfrx_workers_joined_total{${MODULE}}[$__rate_interval]))`, "{{ext}} connected"),
        query(`sum by (ext) (increase(nfrx_workers_left_total{${MODULE}}[$__rate_interval]))`, "{{ext}} disconnected"),
      ),
      stacked(
        "Rejected agents",
        "short",
        query(sumRate("ext, reason", "nfrx_agents_refused_total", MODULE), "{{ext}} {{reason}}"),
      ),
      panel(
        "Requests at agents",
        "reqps",
        query(sumRate("", "nfrx_agent_jobs_total", BROKER), "all"),
        query(sumRate("", "nfrx_agent_jobs_failed_total", BROKER), "failed"),
      ),
    ],
  },
  {
    title: "Models",
    panels: [
      stacked(
        "Tokens out",
        "short",
        query(sumRate("model", "nfrx_model_tokens_total", `${BROKER},kind="out"`), "{{model}}"),
      ),
      stacked(
        "Tokens in",
        "short",
        query(sumRate("model", "nfrx_model_tokens_total", `${BROKER},kind="in"`), "{{model}}"),
      ),
      stacked(
        "Requests",
        "reqps",
        query(sumRate("model, outcome", "nfrx_model_requests_total", BROKER), "{{model}} {{outcome}}"),
      ),
      stacked("Embeddings", "short", query(sumRate("model", "nfrx_llm_model_embeddings_total", BROKER), "{{model}}")),
      stacked(
        "Tokens out by worker",
        "short",
        query(sumRate("worker_id", "nfrx_llm_worker_tokens_total", `${BROKER},kind="out"`), "{{worker_id}}"),
      ),
      {
        ...stacked(
          "Concurrent requests by worker",
          "short",
          query(sumRate("worker_id", "nfrx_llm_worker_processing_seconds_total", BROKER), "{{worker_id}}"),
        ),
        description: "Average number of concurrent requests of the worker (seconds of work per second).",
      },
      stacked(
        "Embeddings by worker",
        "short",
        query(sumRate("worker_id", "nfrx_llm_worker_embeddings_total", BROKER), "{{worker_id}}"),
      ),
      panel(
        "Parts of split requests, p95",
        "s",
        ...percentiles("nfrx_request_chunk_duration_seconds", LLM, [0.95], "worker_id"),
      ),
    ],
  },
  {
    title: "MCP",
    panels: [
      stacked("Calls", "reqps", query(sumRate("label", "nfrx_request_total", MCP), "{{label}}")),
      stacked(
        "Errors",
        "reqps",
        query(sumRate("error_code", "nfrx_request_completed_total", `${MCP},success="false"`), "{{error_code}}"),
      ),
      panel("Tool calls", "s", ...percentiles("nfrx_request_duration_seconds", `${MCP},label="tools/call"`)),
      panel(
        "Sessions and relays",
        "short",
        query(`sum(nfrx_mcp_sessions{${BROKER}})`, "sessions known to the broker"),
        query(`sum(nfrx_worker_sessions{${AGENT}})`, "sessions of relays"),
        query(`sum(nfrx_workers_connected{${MCP}})`, "relays"),
      ),
      stacked(
        "Calls at relays",
        "reqps",
        query(sumRate("method, outcome", "nfrx_worker_calls_total", AGENT), "{{method}} {{outcome}}"),
      ),
    ],
  },
  {
    title: "Jobs",
    panels: [
      panel(
        "Jobs",
        "cps",
        query(sumRate("", "nfrx_jobs_created_total", BROKER), "created"),
        query(sumRate("", "nfrx_jobs_claimed_total", BROKER), "claimed"),
        query(sumRate("status, error_code", "nfrx_jobs_ended_total", BROKER), "{{status}} {{error_code}}"),
        query(sumRate("reason", "nfrx_jobs_requeued_total", BROKER), "back in the queue: {{reason}}"),
      ),
      stacked("Stored", "short", query(`sum by (status) (nfrx_jobs{${BROKER}})`, "{{status}}")),
      panel(
        "Oldest",
        "s",
        query(`max(nfrx_jobs_oldest_queued_seconds{${BROKER}})`, "queued"),
        query(`max(nfrx_jobs_oldest_claimed_seconds{${BROKER}})`, "held by a worker"),
      ),
      panel(
        "Durations",
        "s",
        ...percentiles("nfrx_jobs_queue_seconds", BROKER, [0.5, 0.95]).map(({ expr, legend }) =>
          query(expr, `queue ${legend}`),
        ),
        ...percentiles("nfrx_jobs_service_seconds", BROKER, [0.5, 0.95]).map(({ expr, legend }) =>
          query(expr, `work ${legend}`),
        ),
      ),
      panel(
        "Waiting",
        "short",
        query(`sum(nfrx_jobs_waiting_workers{${BROKER}})`, "job workers for a job"),
        query(`sum(nfrx_jobs_listeners{${BROKER}})`, "clients for events"),
        query(`sum(nfrx_jobs_watched{${BROKER}})`, "jobs that end without their client"),
      ),
    ],
  },
  {
    title: "Transfer and tunnel",
    panels: [
      panel("Transferred", "Bps", query(sumRate("", "nfrx_transfer_bytes_total", BROKER), "bytes")),
      panel("Transfer channels", "short", query(`sum by (state) (nfrx_transfer_channels{${BROKER}})`, "{{state}}")),
      stacked("Finished transfers", "cps", query(sumRate("outcome", "nfrx_transfers_total", BROKER), "{{outcome}}")),
      panel(
        "Tunnel",
        "Bps",
        query(sumRate("ext", "nfrx_tunnel_received_bytes_total", MODULE), "{{ext}} from agents"),
        query(sumRate("ext", "nfrx_tunnel_sent_bytes_total", MODULE), "{{ext}} to agents"),
      ),
      panel("Open streams", "short", query(`sum by (ext) (nfrx_tunnel_streams{${MODULE}})`, "{{ext}}")),
      panel(
        "Stalls and resets",
        "cps",
        query(sumRate("ext", "nfrx_tunnel_window_stalls_total", MODULE), "{{ext}} no credit"),
        query(sumRate("ext", "nfrx_tunnel_socket_stalls_total", MODULE), "{{ext}} socket full"),
        query(sumRate("ext", "nfrx_tunnel_resets_total", MODULE), "{{ext}} reset"),
      ),
    ],
  },
  {
    title: "The broker's process",
    panels: [
      panel("CPU", "percentunit", query(sumRate("instance", "process_cpu_seconds_total", BROKER), "{{instance}}")),
      panel(
        "Memory",
        "bytes",
        query(`process_resident_memory_bytes{${BROKER}}`, "{{instance}} resident"),
        query(`process_heap_bytes{${BROKER}}`, "{{instance}} heap"),
      ),
      panel("Event loop lag", "s", ...percentiles("nfrx_event_loop_lag_seconds", BROKER)),
      panel(
        "Request bodies",
        "bytes",
        query(`sum(nfrx_buffered_body_bytes{${BROKER}})`, "in memory"),
        query(`sum(nfrx_buffered_body_limit_bytes{${BROKER}})`, "in memory at most"),
        query(`sum(nfrx_spooled_body_bytes{${BROKER}})`, "on disk"),
        query(`sum(nfrx_spooled_body_limit_bytes{${BROKER}})`, "on disk at most"),
      ),
      panel(
        "File descriptors",
        "short",
        query(`process_open_fds{${BROKER}}`, "{{instance}} open"),
        query(`process_max_fds{${BROKER}}`, "{{instance}} at most"),
      ),
      panel(
        "Should be zero",
        "short",
        query(`increase(nfrx_unhandled_errors_total{${BROKER}}[$__rate_interval])`, "unexpected errors"),
        query(`increase(nfrx_log_lines_dropped_total{${BROKER}}[$__rate_interval])`, "log lines dropped"),
      ),
    ],
  },
  {
    title: "Agents",
    panels: [
      panel(
        "Connected",
        "short",
        query(`nfrx_worker_connected_to_server{${AGENT}}`, "{{instance}} to the broker"),
        query(`nfrx_worker_connected_to_backend{${AGENT}}`, "{{instance}} to its backend"),
      ),
      panel(
        "Requests",
        "reqps",
        query(sumRate("instance", "nfrx_worker_jobs_succeeded_total", AGENT), "{{instance}} answered"),
        query(sumRate("instance", "nfrx_worker_jobs_failed_total", AGENT), "{{instance}} failed"),
        query(sumRate("instance", "nfrx_worker_jobs_canceled_total", AGENT), "{{instance}} canceled"),
      ),
      panel(
        "Concurrency",
        "short",
        query(`nfrx_worker_current_jobs{${AGENT}}`, "{{instance}}"),
        query(`nfrx_worker_max_concurrency{${AGENT}} < 100000`, "{{instance}} at most"),
      ),
      panel("At the backend, p95", "s", ...percentiles("nfrx_worker_job_duration_seconds", AGENT, [0.95], "instance")),
      panel("Memory", "bytes", query(`process_resident_memory_bytes{${AGENT}}`, "{{instance}}")),
      panel("Event loop lag, p99", "s", ...percentiles("nfrx_event_loop_lag_seconds", AGENT, [0.99], "instance")),
    ],
  },
];
