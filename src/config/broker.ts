import { randomKey } from "../lib/keys.ts";
import { type Objection, options } from "./group.ts";
import { option } from "./option.ts";
import { defaultSpoolDir } from "./paths.ts";
import { baseUrl, forwardedHeader, namesFile, network, origin, text } from "./values.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const GIB = 1024 ** 3;

/** Networks whose `X-User-Roles` and `X-Forwarded-*` count: this machine and private ones. */
const PRIVATE_NETWORKS = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

const REDIS = /^(?:(?:rediss?|redis-sentinel|rediss-sentinel):\/\/\S+|[^\s,:/]+:\d+(?:,[^\s,:/]+:\d+)*)$/;

const listening = {
  port: option.port({ env: "PORT", default: 8080, help: "Public port." }),
  host: option.text({
    env: "HOST",
    default: "",
    defaultNote: "all interfaces",
    help: "Interface address to listen on.",
  }),
  metricsAddress: option.address({
    env: "METRICS_PORT",
    yaml: "metrics_addr",
    default: undefined,
    defaultNote: "the public port",
    help: "Port or address where /metrics is served, instead of the public port.",
  }),
  tlsCertFile: option.text({
    env: "TLS_CERT_FILE",
    path: "file",
    default: undefined,
    help: "PEM file with the certificate for TLS on the public port. Requires TLS_KEY_FILE.",
  }),
  tlsKeyFile: option.text({
    env: "TLS_KEY_FILE",
    path: "file",
    default: undefined,
    help: "PEM file with the private key. Requires TLS_CERT_FILE.",
  }),
};

const doors = {
  apiKey: option.secret({
    env: "API_KEY",
    default: undefined,
    seed: randomKey,
    help: "API key that callers send.",
  }),
  clientKey: option.secret({
    env: "CLIENT_KEY",
    default: undefined,
    seed: randomKey,
    help: "The agents' key: agents and job workers send it, callers do not. The name CLIENT_KEY is inherited from 0.9.",
  }),
  adminKey: option.secret({
    env: "ADMIN_KEY",
    default: undefined,
    seed: randomKey,
    help: "Operators' key, for draining and disconnecting workers. Without it these actions are off.",
  }),
  apiHttpRoles: option.list({
    env: "API_HTTP_ROLES",
    of: text(),
    default: [],
    help: "Roles in X-User-Roles, set by a trusted proxy, that give access to the API without a key.",
  }),
  clientHttpRoles: option.list({
    env: "CLIENT_HTTP_ROLES",
    of: text(),
    default: [],
    help: "Roles in X-User-Roles, set by a trusted proxy, that let agents connect without a key.",
  }),
  allowOpen: option.bool({
    env: "ALLOW_OPEN",
    default: false,
    help: "Listens on HOST even if API_KEY or CLIENT_KEY (or the roles that replace it) is not set. Otherwise such a broker listens on 127.0.0.1 only.",
  }),
  metricsOpen: option.bool({
    env: "METRICS_OPEN",
    default: false,
    help: "Serves /metrics on the public port without a key. Otherwise API_KEY or ADMIN_KEY is required there. METRICS_PORT never requires a key.",
  }),
  trustedProxies: option.list({
    env: "TRUSTED_PROXIES",
    of: network,
    expects: "a list of networks such as 10.0.0.0/8, or none",
    emptyWord: "none",
    default: PRIVATE_NETWORKS,
    help: "Networks of the proxies whose X-User-Roles is trusted; none trusts no proxy.",
  }),
  allowedOrigins: option.list({
    env: "ALLOWED_ORIGINS",
    of: origin,
    expects: "a list of origins such as https://app.example, or *",
    default: [],
    defaultNote: "unset, which denies all all",
    help: "Origins whose pages may call the API (CORS), such as https://app.example. null and file:// stand for local files, * allows all.",
  }),
  allowedHosts: option.list({
    env: "ALLOWED_HOSTS",
    of: text(),
    default: [],
    defaultNote: "any; if HOST is a loopback address, this machine's own names",
    help: "Host names under which callers reach this broker, including its public name behind a proxy. Requests under another name are refused at MCP relays, and everywhere on a broker without keys.",
  }),
  publicUrl: option.url({
    env: "PUBLIC_URL",
    default: undefined,
    rewrite: baseUrl,
    help: "URL under which callers reach this broker, such as https://ai.example. Adds its host name to ALLOWED_HOSTS and its origin to ALLOWED_ORIGINS.",
  }),
};

const headers = {
  forwardHeaders: option.list({
    env: "FORWARD_HEADERS",
    of: forwardedHeader,
    expects:
      "a list of header names such as x-session-id or openai-*; credentials, cookies and addresses are not allowed",
    default: [],
    help: "Additional request headers to forward to backends. A trailing * matches any ending. Credentials, cookies and addresses are never forwarded.",
  }),
};

const limits = {
  requestTimeoutMs: option.seconds({
    env: "REQUEST_TIMEOUT",
    default: undefined,
    defaultNote: "10m; for asr and docling 1h",
    min: 1_000,
    max: DAY,
    help: "Idle timeout of a request, in seconds: it fails when its worker sends nothing for this long. A module's own option (LLM_REQUEST_TIMEOUT …) takes precedence.",
  }),
  retryLost: option.int({
    env: "RETRY_LOST",
    default: 1,
    min: 0,
    max: 2,
    help: "Number of retries on another worker when a request's worker is lost, for requests without side effects (chat, embeddings, transcription, conversion).",
  }),
  drainTimeoutMs: option.duration({
    env: "DRAIN_TIMEOUT",
    default: "5m",
    max: DAY,
    allowForever: true,
    help: "Time for running requests, transfers and claimed jobs to finish after SIGTERM. 0 exits immediately, -1 waits indefinitely. A second SIGTERM exits immediately.",
  }),
  maxBodyBytes: option.bytes({
    env: "MAX_BODY_BYTES",
    default: 104_857_600,
    min: 1024,
    max: 4 * GIB,
    help: "Maximum size of a JSON request body. Larger bodies get 413.",
  }),
  maxUploadBytes: option.bytes({
    env: "MAX_UPLOAD_BYTES",
    default: 4 * GIB,
    min: 1024,
    max: 1024 * GIB,
    help: "Maximum size of an upload (a recording, a document). Larger uploads get 413.",
  }),
  maxBufferedBytes: option.bytes({
    env: "MAX_BUFFERED_BYTES",
    default: 1_073_741_824,
    min: 1024,
    max: 1024 * GIB,
    help: "Maximum memory for request bodies, over all requests.",
  }),
  bodyMinRate: option.int({
    env: "BODY_MIN_RATE",
    default: 1024,
    min: 0,
    max: GIB,
    help: "Minimum upload speed of a request body, in bytes per second, averaged over 30 seconds of waiting for the caller. Slower uploads get 408. 0 disables the check. Transfers have TRANSFER_IDLE instead.",
  }),
  uploadSpoolDir: option.text({
    env: "UPLOAD_SPOOL_DIR",
    path: "folder",
    default: "",
    defaultOn: defaultSpoolDir,
    defaultNote: "TMPDIR, else /var/tmp on Linux, /tmp on macOS, TEMP on Windows",
    help: "Directory for large request bodies whose model field comes late, such as after a long recording. It should not be on a RAM disk.",
  }),
  maxSpooledBytes: option.bytes({
    env: "MAX_SPOOLED_BYTES",
    default: 16 * GIB,
    min: 1024,
    max: 1024 * GIB,
    help: "Maximum disk space for request bodies, over all requests.",
  }),
  startGraceMs: option.duration({
    env: "START_GRACE",
    default: "40s",
    max: HOUR,
    help: "Time after start during which unknown models and workers get 503 with Retry-After instead of 404, because agents may still be reconnecting. 0 disables it.",
  }),
  maxWorkers: option.int({
    env: "MAX_WORKERS",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    help: "Maximum number of connected agents.",
  }),
};

const jobs = {
  jobsStore: option.text({
    env: "JOBS_STORE",
    path: "file",
    default: "",
    defaultNote:
      "jobs.db in $STATE_DIRECTORY or /var/lib/nfrx, in ~/.local/state/nfrx for users other than root, ~/Library/Application Support/nfrx on macOS, %ProgramData%\\nfrx on Windows",
    help: "Where jobs are stored: a file, which only one broker can use, or memory. If the file cannot be written, jobs are stored in memory.",
  }),
  jobsLeaseMs: option.duration({
    env: "JOBS_LEASE",
    default: "15m",
    min: 1_000,
    max: DAY,
    help: "Lease of a claimed job: a job worker that reports nothing for this long is considered lost. A claim can ask for a different lease.",
  }),
  jobsMaxAttempts: option.int({
    env: "JOBS_MAX_ATTEMPTS",
    default: 3,
    min: 1,
    max: 100,
    help: "Number of times a job is handed out before it fails, if its workers are lost.",
  }),
  jobsRetentionMs: option.duration({
    env: "JOBS_RETENTION",
    default: "24h",
    help: "Retention time of finished jobs.",
  }),
  jobsMaxEnded: option.int({
    env: "JOBS_MAX_ENDED",
    default: 10_000,
    min: 0,
    max: 10_000_000,
    help: "Maximum number of finished jobs to keep; the oldest are deleted first.",
  }),
  jobsMax: option.int({
    env: "JOBS_MAX",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    help: "Maximum number of jobs, finished ones included. Beyond it new jobs get 503. One caller (a key at an address) can have at most half.",
  }),
  jobsMaxBytes: option.bytes({
    env: "JOBS_MAX_BYTES",
    default: 536_870_912,
    min: 1_048_576,
    max: 1024 * GIB,
    help: "Maximum size of all jobs together, on disk or in memory. Beyond it new jobs get 503. One caller can have at most half.",
  }),
  jobsSseCloseDelayMs: option.duration({
    env: "JOBS_SSE_CLOSE_DELAY",
    default: "5s",
    max: HOUR,
    help: "Time that a job's event stream stays open after the final status.",
  }),
  jobsClientTtlMs: option.duration({
    env: "JOBS_CLIENT_TTL",
    default: "24h",
    max: DAY,
    help: "Cancels a job when its client neither follows its events nor polls it for this long. 0 disables it. Jobs created with cancel_when_unwatched are canceled after 30 s, or after this time if it is shorter.",
  }),
};

const transfers = {
  transferTtlMs: option.duration({
    env: "TRANSFER_TTL",
    default: "60s",
    min: 1_000,
    max: DAY,
    help: "Time within which both reader and writer of a transfer channel must connect.",
  }),
  // The kernel tells of a slow reader's progress in large steps: a short time would cut it off.
  transferIdleMs: option.duration({
    env: "TRANSFER_IDLE",
    default: "5m",
    max: DAY,
    help: "Idle timeout of a transfer: it fails when no byte passes for this long. 0 disables it.",
  }),
  transferMaxChannels: option.int({
    env: "TRANSFER_MAX_CHANNELS",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    help: "Maximum number of open transfer channels. Beyond it new channels get 503. One caller can have at most half; a quarter is reserved for jobs.",
  }),
};

const system = {
  redisAddr: option.secret({
    env: "REDIS_ADDR",
    default: undefined,
    pattern: REDIS,
    expects: "host:port, or a URL that begins with redis://, rediss://, redis-sentinel:// or rediss-sentinel://",
    help: "Redis for state shared between brokers: host:port, redis://, rediss://, redis-sentinel://h1,h2/master?db= or rediss-sentinel://. Several hosts form a cluster. Never displayed, because it may contain a password.",
  }),
  plugins: option.list({
    env: "PLUGINS",
    of: text(),
    isPath: namesFile,
    default: ["*"],
    help: "Modules to serve: llm, asr, docling, mcp, or * for all of them, and paths of plugin files.",
  }),
};

const telling = {
  accessLog: option.bool({
    env: "ACCESS_LOG",
    default: true,
    help: "Logs one line per request when it ends. Without it only errors of the broker itself are logged.",
  }),
  exposeRouting: option.bool({
    env: "EXPOSE_ROUTING",
    default: false,
    help: "Adds X-Nfrx-Worker (the worker that served the request) and Server-Timing (queue time and response time) to responses.",
  }),
};

const groups = { ...listening, ...doors, ...headers, ...limits, ...telling, ...jobs, ...transfers, ...system };

/** What the broker as a whole can be told; each module adds its own. */
export const brokerOptions = options("Broker", groups, values => {
  const objections: Objection[] = [];
  if ((values.tlsCertFile === undefined) !== (values.tlsKeyFile === undefined)) {
    objections.push({ keys: ["tlsCertFile", "tlsKeyFile"], problem: "set both for TLS, or neither" });
  }
  const { metricsAddress: metrics, port, host } = values;
  if (metrics?.port === port && port !== 0 && metrics.host !== "" && metrics.host !== host) {
    const problem = "/metrics needs a port other than the public one";
    objections.push({ keys: ["metricsAddress", "port"], problem });
  }
  if (values.maxBufferedBytes < values.maxBodyBytes) {
    const problem = "the limit for one request body must not exceed the limit for all of them";
    objections.push({ keys: ["maxBodyBytes", "maxBufferedBytes"], problem });
  }
  if (values.maxSpooledBytes < values.maxUploadBytes) {
    const problem = "the limit for one upload must not exceed the limit for all of them";
    objections.push({ keys: ["maxUploadBytes", "maxSpooledBytes"], problem });
  }
  if (values.jobsStore === "redis" || /^rediss?(?:-sentinel)?:/.test(values.jobsStore)) {
    objections.push({ keys: ["jobsStore"], problem: "jobs cannot be stored in Redis yet: set a file, or memory" });
  }
  if (values.jobsMaxEnded >= values.jobsMax) {
    const problem = "the limit for finished jobs must be below the limit for all jobs";
    objections.push({ keys: ["jobsMaxEnded", "jobsMax"], problem });
  }
  return objections;
});
