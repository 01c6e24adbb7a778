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
  port: option.port({ env: "PORT", default: 8080, help: "Port of the public address." }),
  host: option.text({
    env: "HOST",
    default: "",
    defaultNote: "all interfaces",
    help: "Address of the interface to listen on.",
  }),
  metricsAddress: option.address({
    env: "METRICS_PORT",
    yaml: "metrics_addr",
    default: undefined,
    defaultNote: "the public port",
    help: "Port or address of /metrics, which is then no longer on the public one.",
  }),
  tlsCertFile: option.text({
    env: "TLS_CERT_FILE",
    path: "file",
    default: undefined,
    help: "PEM file with the certificate, for TLS on the public address. Goes with TLS_KEY_FILE.",
  }),
  tlsKeyFile: option.text({
    env: "TLS_KEY_FILE",
    path: "file",
    default: undefined,
    help: "PEM file with the private key. Goes with TLS_CERT_FILE.",
  }),
};

const doors = {
  apiKey: option.secret({
    env: "API_KEY",
    default: undefined,
    seed: randomKey,
    help: "Key that callers of the API must bring.",
  }),
  clientKey: option.secret({
    env: "CLIENT_KEY",
    default: undefined,
    seed: randomKey,
    help: "Key that agents must bring.",
  }),
  adminKey: option.secret({
    env: "ADMIN_KEY",
    default: undefined,
    seed: randomKey,
    help: "Key of operators, who may drain and disconnect workers; without it nobody may.",
  }),
  apiHttpRoles: option.list({
    env: "API_HTTP_ROLES",
    of: text(),
    default: [],
    help: "Roles in X-User-Roles, set by a trusted proxy, that open the API without a key.",
  }),
  clientHttpRoles: option.list({
    env: "CLIENT_HTTP_ROLES",
    of: text(),
    default: [],
    help: "Roles in X-User-Roles, set by a trusted proxy, that let agents in without a key.",
  }),
  allowOpen: option.bool({
    env: "ALLOW_OPEN",
    default: false,
    help: "Listens on HOST although API_KEY or CLIENT_KEY, and the roles in its place, are not set. Otherwise such a broker listens on 127.0.0.1 only.",
  }),
  metricsOpen: option.bool({
    env: "METRICS_OPEN",
    default: false,
    help: "Serves /metrics on the public port without a key. Otherwise it asks for API_KEY or ADMIN_KEY there; at METRICS_PORT it never asks.",
  }),
  trustedProxies: option.list({
    env: "TRUSTED_PROXIES",
    of: network,
    expects: "a list of networks such as 10.0.0.0/8, or none",
    emptyWord: "none",
    default: PRIVATE_NETWORKS,
    help: "Networks of the proxies whose X-User-Roles counts; none trusts nobody.",
  }),
  allowedOrigins: option.list({
    env: "ALLOWED_ORIGINS",
    of: origin,
    expects: "a list of origins such as https://app.example, or *",
    default: [],
    defaultNote: "unset, which denies",
    help: "Origins whose pages may call the API (CORS), such as https://app.example; null and file:// are pages from a disk, * allows all.",
  }),
  allowedHosts: option.list({
    env: "ALLOWED_HOSTS",
    of: text(),
    default: [],
    defaultNote: "any, or this machine's own names when HOST is one of them",
    help: "Host names by which callers reach this broker, its public name behind a proxy included. A request to an MCP relay, or to a broker without a key, is refused under any other name.",
  }),
  publicUrl: option.url({
    env: "PUBLIC_URL",
    default: undefined,
    rewrite: baseUrl,
    help: "URL by which callers reach this broker, such as https://ai.example. Its host name is allowed like those in ALLOWED_HOSTS, its origin like those in ALLOWED_ORIGINS.",
  }),
};

const headers = {
  forwardHeaders: option.list({
    env: "FORWARD_HEADERS",
    of: forwardedHeader,
    expects:
      "a list of header names such as x-session-id or openai-*, which are neither credentials, cookies nor addresses",
    default: [],
    help: "Further headers of callers that backends get; a star at the end of a name stands for any ending. Credentials, cookies and addresses never pass.",
  }),
};

const limits = {
  requestTimeoutMs: option.seconds({
    env: "REQUEST_TIMEOUT",
    default: undefined,
    defaultNote: "10m; for asr and docling 1h",
    min: 1_000,
    max: DAY,
    help: "How long a request may go without a byte from its worker, in seconds. A module's own option (LLM_REQUEST_TIMEOUT …) comes before it.",
  }),
  retryLost: option.int({
    env: "RETRY_LOST",
    default: 1,
    min: 0,
    max: 2,
    help: "How often a request that only computes (chat, embeddings, transcription, conversion) is sent to another worker because the machine that had it was lost.",
  }),
  drainTimeoutMs: option.duration({
    env: "DRAIN_TIMEOUT",
    default: "5m",
    max: DAY,
    allowForever: true,
    help: "How long running requests, transfers and claimed jobs may take to end after SIGTERM; 0 exits at once, -1 waits for ever. A second SIGTERM exits at once.",
  }),
  maxBodyBytes: option.bytes({
    env: "MAX_BODY_BYTES",
    default: 104_857_600,
    min: 1024,
    max: 4 * GIB,
    help: "Largest JSON request body; a larger one is answered with 413.",
  }),
  maxUploadBytes: option.bytes({
    env: "MAX_UPLOAD_BYTES",
    default: 4 * GIB,
    min: 1024,
    max: 1024 * GIB,
    help: "Largest upload (a recording, a document); a larger one is answered with 413.",
  }),
  maxBufferedBytes: option.bytes({
    env: "MAX_BUFFERED_BYTES",
    default: 1_073_741_824,
    min: 1024,
    max: 1024 * GIB,
    help: "Bytes of request bodies held in memory at once, all requests together.",
  }),
  bodyMinRate: option.int({
    env: "BODY_MIN_RATE",
    default: 1024,
    min: 0,
    max: GIB,
    help: "Bytes a second that a caller must send of a request body, averaged over 30 seconds in which the broker waits for it; a slower one is answered with 408. 0 turns that off. A transfer has TRANSFER_IDLE instead.",
  }),
  uploadSpoolDir: option.text({
    env: "UPLOAD_SPOOL_DIR",
    path: "folder",
    default: "",
    defaultOn: defaultSpoolDir,
    defaultNote: "the TMPDIR of the environment, else /var/tmp on Linux, /tmp on macOS, TEMP on Windows",
    help: "Folder for request bodies that are too large to hold while their model is looked for, as when it follows a long recording. It should not be in memory.",
  }),
  maxSpooledBytes: option.bytes({
    env: "MAX_SPOOLED_BYTES",
    default: 16 * GIB,
    min: 1024,
    max: 1024 * GIB,
    help: "Bytes of request bodies held on disk at once, all requests together.",
  }),
  startGraceMs: option.duration({
    env: "START_GRACE",
    default: "40s",
    max: HOUR,
    help: "How long after its start the broker answers 503 with Retry-After, not 404, for models and workers that it does not know: agents may still be on their way back. 0 turns that off.",
  }),
  maxWorkers: option.int({
    env: "MAX_WORKERS",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    help: "Agents connected at once.",
  }),
};

const jobs = {
  jobsStore: option.text({
    env: "JOBS_STORE",
    path: "file",
    default: "",
    defaultNote:
      "jobs.db in $STATE_DIRECTORY or /var/lib/nfrx, or in ~/.local/state/nfrx for other users than root, ~/Library/Application Support/nfrx on macOS, %ProgramData%\\nfrx on Windows",
    help: "Where jobs are kept: a file, which belongs to one broker, or memory. Without a file that can be written they are kept in memory.",
  }),
  jobsLeaseMs: option.duration({
    env: "JOBS_LEASE",
    default: "15m",
    min: 1_000,
    max: DAY,
    help: "How long a worker may be silent about a job before it counts as lost, unless its claim asks for another time.",
  }),
  jobsMaxAttempts: option.int({
    env: "JOBS_MAX_ATTEMPTS",
    default: 3,
    min: 1,
    max: 100,
    help: "How often a job whose worker was lost is handed out before it fails.",
  }),
  jobsRetentionMs: option.duration({
    env: "JOBS_RETENTION",
    default: "24h",
    help: "How long jobs that have ended are kept.",
  }),
  jobsMaxEnded: option.int({
    env: "JOBS_MAX_ENDED",
    default: 10_000,
    min: 0,
    max: 10_000_000,
    help: "Jobs that have ended and are kept at most; the oldest go first.",
  }),
  jobsMax: option.int({
    env: "JOBS_MAX",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    help: "Jobs at most, those that have ended included; more are refused with 503. One caller (a key at an address) has half at most.",
  }),
  jobsMaxBytes: option.bytes({
    env: "JOBS_MAX_BYTES",
    default: 536_870_912,
    min: 1_048_576,
    max: 1024 * GIB,
    help: "Bytes that all jobs together may take, on disk or in memory; beyond them new ones are refused with 503. One caller has half at most.",
  }),
  jobsSseCloseDelayMs: option.duration({
    env: "JOBS_SSE_CLOSE_DELAY",
    default: "5s",
    max: HOUR,
    help: "How long the events of a job stay open after its last status.",
  }),
  jobsClientTtlMs: option.duration({
    env: "JOBS_CLIENT_TTL",
    default: "24h",
    max: DAY,
    help: "A job whose client neither follows its events nor asks for it for this long is canceled; 0 turns that off. Jobs created with cancel_when_unwatched wait 30 s, or this long where it is shorter.",
  }),
};

const transfers = {
  transferTtlMs: option.duration({
    env: "TRANSFER_TTL",
    default: "60s",
    min: 1_000,
    max: DAY,
    help: "How long the two ends of a transfer channel have to meet.",
  }),
  // The kernel tells of a slow reader's progress in large steps: a short time would cut it off.
  transferIdleMs: option.duration({
    env: "TRANSFER_IDLE",
    default: "5m",
    max: DAY,
    help: "A transfer fails when no byte has passed for this long; 0 waits for ever.",
  }),
  transferMaxChannels: option.int({
    env: "TRANSFER_MAX_CHANNELS",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    help: "Transfer channels that are open at once, waiting or running; more are refused with 503. One caller has half at most, and a quarter is kept for jobs.",
  }),
};

const system = {
  redisAddr: option.secret({
    env: "REDIS_ADDR",
    default: undefined,
    pattern: REDIS,
    expects: "host:port, or a URL that begins with redis://, rediss://, redis-sentinel:// or rediss-sentinel://",
    help: "Redis to share state with other brokers: host:port, redis://, rediss://, redis-sentinel://h1,h2/master?db= or rediss-sentinel://; several hosts are a cluster. Never shown, as it may hold a password.",
  }),
  plugins: option.list({
    env: "PLUGINS",
    of: text(),
    isPath: namesFile,
    default: ["*"],
    help: "Modules to serve: llm, asr, docling, mcp, or * for all of them; also paths of plugin files.",
  }),
};

const telling = {
  accessLog: option.bool({
    env: "ACCESS_LOG",
    default: true,
    help: "Logs one line for each request at its end. Without it only what is the broker's own fault is logged.",
  }),
  exposeRouting: option.bool({
    env: "EXPOSE_ROUTING",
    default: false,
    help: "Tells callers in X-Nfrx-Worker which worker served them, and in Server-Timing how long they waited and how long it took to answer.",
  }),
};

const groups = { ...listening, ...doors, ...headers, ...limits, ...telling, ...jobs, ...transfers, ...system };

/** What the broker as a whole can be told; each module adds its own. */
export const brokerOptions = options("Broker", groups, values => {
  const objections: Objection[] = [];
  if ((values.tlsCertFile === undefined) !== (values.tlsKeyFile === undefined)) {
    objections.push({ keys: ["tlsCertFile", "tlsKeyFile"], problem: "TLS needs both of them, or neither" });
  }
  const { metricsAddress: metrics, port, host } = values;
  if (metrics?.port === port && port !== 0 && metrics.host !== "" && metrics.host !== host) {
    const problem = "/metrics can have an address of its own on another port only";
    objections.push({ keys: ["metricsAddress", "port"], problem });
  }
  if (values.maxBufferedBytes < values.maxBodyBytes) {
    const problem = "one request body must fit into what all of them may take together";
    objections.push({ keys: ["maxBodyBytes", "maxBufferedBytes"], problem });
  }
  if (values.maxSpooledBytes < values.maxUploadBytes) {
    const problem = "one upload must fit into what all of them may take together";
    objections.push({ keys: ["maxUploadBytes", "maxSpooledBytes"], problem });
  }
  if (values.jobsStore === "redis" || /^rediss?(?:-sentinel)?:/.test(values.jobsStore)) {
    objections.push({ keys: ["jobsStore"], problem: "jobs cannot be kept in Redis yet: name a file, or memory" });
  }
  if (values.jobsMaxEnded >= values.jobsMax) {
    const problem = "those that have ended must leave room for others";
    objections.push({ keys: ["jobsMaxEnded", "jobsMax"], problem });
  }
  return objections;
});
