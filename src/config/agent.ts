import { type Objection, options } from "./group.ts";
import { headerObjections } from "./headers.ts";
import { option } from "./option.ts";

const DAY = 24 * 3_600_000;

/**
 * The URL to which an agent connects: WebSocket scheme, and the module's path appended to the given path, unless it
 * already ends in an API path.
 */
function serverUrl(module: string, written: string): string {
  const url = new URL(written);
  if (url.protocol === "http:") url.protocol = "ws:";
  if (url.protocol === "https:") url.protocol = "wss:";
  const path = url.pathname.replace(/\/+$/, "");
  if (path.endsWith(`/api/${module}`)) url.pathname = `${path}/connect`;
  else if (!/\/api(\/|$)|\/connect$/.test(path)) url.pathname = `${path}/api/${module}/connect`;
  url.hash = "";
  return url.href;
}

/** Modules whose backends send nothing for a long time while they process a recording or a document. */
const SLOW_MODULES: ReadonlySet<string> = new Set(["asr", "docling"]);

/** Options of every agent. */
export function agentOptions(module: string) {
  return options("Agent", agentShape(module), agentObjections);
}

/** Checks the combination of an agent's options. */
function agentObjections({
  clientKey,
  agentHeaders,
}: {
  clientKey: string | undefined;
  agentHeaders: Readonly<Record<string, string>>;
}): Objection[] {
  const names = Object.keys(agentHeaders);
  const handshake = names.find(name => /^sec-websocket-/i.test(name));
  const key = names.find(name => name.toLowerCase() === "authorization");
  return [
    ...headerObjections("agentHeaders", agentHeaders),
    ...(handshake === undefined
      ? []
      : [{ keys: ["agentHeaders"], problem: `${handshake} cannot be set as a header; remove it` }]),
    ...(key === undefined || clientKey === undefined
      ? []
      : [
          {
            keys: ["agentHeaders", "clientKey"],
            problem: `${key} carries CLIENT_KEY: unset CLIENT_KEY and send the key as X-Api-Key in AGENT_HEADERS`,
          },
        ]),
  ];
}

function agentShape(module: string) {
  return {
    serverUrl: option.url({
      env: "SERVER_URL",
      schemes: ["ws", "wss", "http", "https"],
      default: `ws://localhost:8080/api/${module}/connect`,
      rewrite: written => serverUrl(module, written),
      help: `Broker URL. http(s):// becomes ws(s)://, and /api/${module}/connect is appended to the path.`,
    }),
    clientKey: option.secret({
      env: "CLIENT_KEY",
      default: undefined,
      help: "The agents' key: the CLIENT_KEY that is set at the broker.",
    }),
    clientId: option.text({
      env: "CLIENT_ID",
      default: undefined,
      defaultNote: module === "mcp" ? "assigned by the broker" : "random",
      help: "ID under which the broker knows this agent.",
    }),
    clientName: option.text({
      env: "CLIENT_NAME",
      default: undefined,
      defaultNote: "the host name",
      help: "Display name.",
    }),
    tlsCaFile: option.text({
      env: "TLS_CA_FILE",
      path: "file",
      default: undefined,
      help: "PEM file with an additional CA to trust for the broker's certificate.",
    }),
    metricsAddress: option.address({
      env: "METRICS_PORT",
      yaml: "metrics_addr",
      default: undefined,
      defaultNote: "off",
      help: "Port or address where /metrics is served.",
    }),
    requestTimeoutMs: option.seconds({
      env: "REQUEST_TIMEOUT",
      default: SLOW_MODULES.has(module) ? "1h" : "10m",
      min: 1_000,
      max: DAY,
      help:
        module === "mcp"
          ? "Accepted for compatibility with 0.9; has no effect. MCP calls have no idle timeout."
          : "Idle timeout of a request, in seconds: it fails when the backend sends nothing for this long.",
    }),
    reconnect: option.bool({
      env: "RECONNECT",
      short: "r",
      default: false,
      seed: () => "true",
      help: "Retries while the broker or the backend is unavailable, instead of exiting.",
    }),
    agentHeaders: option.pairs({
      env: "AGENT_HEADERS",
      default: {},
      help: "Headers to send to the broker, for a gateway in front of it: comma-separated NAME=value pairs, or a YAML map.",
    }),
  };
}

const backendAccess = {
  backendCaFile: option.text({
    env: "BACKEND_CA_FILE",
    path: "file",
    default: undefined,
    help: "PEM file with an additional CA to trust for the backend's certificate.",
  }),
  backendHeaders: option.pairs({
    env: "BACKEND_HEADERS",
    default: {},
    help: "Headers to add to every request to the backend: comma-separated NAME=value pairs, or a YAML map.",
  }),
};

/** Checks the combination of the worker options. */
export const workerObjections = ({
  backendHeaders,
}: {
  backendHeaders: Readonly<Record<string, string>>;
}): Objection[] => headerObjections("backendHeaders", backendHeaders);

/** Additional options of a worker module's agent (llm, asr, docling). */
export const workerOptions = options(
  "Worker",
  {
    ...backendAccess,
    maxConcurrency: option.int({
      env: "MAX_CONCURRENCY",
      default: 2,
      min: 1,
      max: 10_000,
      help: "Maximum number of concurrent requests.",
    }),
    statusAddress: option.address({
      env: "STATUS_ADDR",
      bareHost: "127.0.0.1",
      default: undefined,
      defaultNote: "off",
      help: "Address of /status, /version and /control. A bare port listens on 127.0.0.1. On any other address every request needs X-Auth-Token.",
    }),
    drainTimeoutMs: option.duration({
      env: "DRAIN_TIMEOUT",
      default: "1m",
      max: DAY,
      allowForever: true,
      help: "Time for running requests to finish after SIGTERM. 0 exits immediately, -1 waits indefinitely. A second SIGTERM exits immediately.",
    }),
  },
  workerObjections,
);
