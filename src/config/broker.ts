import { accessOptions } from "./broker-access.ts";
import { jobOptions, transferOptions } from "./broker-jobs.ts";
import { limitOptions } from "./broker-limits.ts";
import { peopleOptions } from "./broker-people.ts";
import { type Objection, options } from "./group.ts";
import { option } from "./option.ts";
import { namesFile, text } from "./values.ts";

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

const groups = {
  ...listening,
  ...accessOptions,
  ...limitOptions,
  ...telling,
  ...peopleOptions,
  ...jobOptions,
  ...transferOptions,
  ...system,
};

/** Options of the broker; each module adds its own. */
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
