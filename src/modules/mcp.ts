import { isAbsolute } from "node:path";
import { z } from "zod";
import { type Objection, options } from "../config/group.ts";
import { headerObjections } from "../config/headers.ts";
import { option } from "../config/option.ts";
import { text } from "../config/values.ts";
import { randomKey } from "../lib/keys.ts";
import { defineModule } from "./define.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const GIB = 1024 ** 3;

/** What the broker can be told about this module. */
export const mcpBrokerOptions = options(
  "Module mcp",
  {
    maxReqBytes: option.bytes({
      env: "BROKER_MAX_REQ_BYTES",
      yaml: "plugin_options.mcp.max_req_bytes",
      flag: "mcp-max-req-bytes",
      default: 10_485_760,
      min: 1024,
      max: GIB,
      help: "Largest MCP request; a larger one is answered with 413.",
    }),
    maxRespBytes: option.bytes({
      env: "BROKER_MAX_RESP_BYTES",
      yaml: "plugin_options.mcp.max_resp_bytes",
      flag: "mcp-max-resp-bytes",
      default: 10_485_760,
      min: 1024,
      max: GIB,
      help: "Largest MCP response.",
    }),
    wsHeartbeatMs: option.int({
      env: "BROKER_WS_HEARTBEAT_MS",
      yaml: "plugin_options.mcp.ws_heartbeat_ms",
      flag: "mcp-ws-heartbeat-ms",
      default: 15_000,
      min: 10,
      max: 10 * MINUTE,
      help: "Milliseconds between pings to a relay.",
    }),
    wsDeadAfterMs: option.int({
      env: "BROKER_WS_DEAD_AFTER_MS",
      yaml: "plugin_options.mcp.ws_dead_after_ms",
      flag: "mcp-ws-dead-after-ms",
      default: 45_000,
      min: 10,
      max: 60 * MINUTE,
      help: "Milliseconds of silence after which a relay is dropped.",
    }),
    maxConcurrencyPerClient: option.int({
      env: "BROKER_MAX_CONCURRENCY_PER_CLIENT",
      yaml: "plugin_options.mcp.max_concurrency_per_client",
      flag: "mcp-max-concurrency-per-client",
      default: 16,
      min: 1,
      max: 100_000,
      help: "Calls at once to one relay; more wait for MCP_QUEUE_TIMEOUT.",
    }),
    queueTimeoutMs: option.duration({
      env: "MCP_QUEUE_TIMEOUT",
      yaml: "plugin_options.mcp.queue_timeout",
      flag: "mcp-queue-timeout",
      default: "30s",
      max: DAY,
      help: "How long a call waits while its relay has as many as it takes; then it is answered with 429. 0 is at once.",
    }),
    requireApiKey: option.bool({
      env: "MCP_REQUIRE_API_KEY",
      yaml: "plugin_options.mcp.require_api_key",
      default: false,
      help: "Asks callers of every relay for the API_KEY of the broker, besides the AUTH_TOKEN of a relay that has one.",
    }),
    allowOpen: option.bool({
      env: "MCP_ALLOW_OPEN",
      yaml: "plugin_options.mcp.allow_open",
      default: false,
      help: "Lets relays with MCP_OPEN serve callers without credentials.",
    }),
  },
  ({ wsHeartbeatMs, wsDeadAfterMs }) =>
    wsDeadAfterMs > wsHeartbeatMs
      ? []
      : [{ keys: ["wsHeartbeatMs", "wsDeadAfterMs"], problem: "a relay must get time for more than one ping" }],
);

const general = {
  providerUrl: option.url({
    env: "PROVIDER_URL",
    default: undefined,
    defaultNote: "http://127.0.0.1:7777/, unless MCP_STDIO_COMMAND or MCP_HTTP_URL is set",
    help: "HTTP provider; the short way to say MCP_HTTP_URL.",
  }),
  authToken: option.secret({
    env: "AUTH_TOKEN",
    default: undefined,
    seed: randomKey,
    help: "Token that callers of this relay bring, as bearer or X-Api-Key. Without a token they bring the API_KEY of the broker.",
  }),
  open: option.bool({
    env: "MCP_OPEN",
    default: false,
    help: "Serves callers without credentials, where the broker allows it with MCP_ALLOW_OPEN. Has no effect with AUTH_TOKEN.",
  }),
  authMode: option.choice({
    env: "MCP_AUTH_MODE",
    values: ["shield", "end-to-end"],
    default: "shield",
    help: "shield: what a caller brings as Authorization stops at the relay. end-to-end: it goes through to the provider, which judges it itself.",
  }),
  replicas: option.bool({
    env: "MCP_REPLICAS",
    default: false,
    help: "Shares its CLIENT_ID with other relays that say so too; sessions stay with their relay.",
  }),
  drainTimeoutMs: option.duration({
    env: "DRAIN_TIMEOUT",
    default: "1m",
    max: DAY,
    allowForever: true,
    help: "How long running calls may take to end after SIGTERM; 0 exits at once, -1 waits for ever. A second SIGTERM exits at once.",
  }),
  httpAllowStreaming: option.bool({
    env: "MCP_HTTP_ALLOW_STREAMING",
    default: true,
    help: "Passes event streams of the provider on as they are; without, each call has one answer in JSON and nobody can listen.",
  }),
  transportOrder: option.list({
    env: "MCP_TRANSPORT_ORDER",
    yaml: "order",
    of: z.enum(["stdio", "http", "oauth", "legacy-sse"]),
    expects: "a list of stdio, http, oauth and legacy-sse",
    default: ["stdio", "http", "oauth"],
    help: "Ways to reach the provider, tried in this order: stdio, http, oauth, legacy-sse.",
  }),
  initTimeoutMs: option.duration({
    env: "MCP_INIT_TIMEOUT",
    yaml: "initTimeout",
    default: "2m",
    min: 10,
    max: 15 * MINUTE,
    help: "How long a provider may take to start and to answer for the first time; callers get 503 meanwhile.",
  }),
  protocolVersion: option.text({
    env: "MCP_PROTOCOL_VERSION",
    yaml: "protocolVersion",
    pattern: /^\d{4}-\d{2}-\d{2}$/,
    expects: "a version such as 2025-11-25",
    default: undefined,
    defaultNote: "negotiated",
    help: "Version of MCP to speak.",
  }),
  maxInflight: option.int({
    env: "MCP_MAX_INFLIGHT",
    yaml: "maxInFlight",
    default: 0,
    min: 0,
    max: 100_000,
    help: "Calls at once; 0 is no limit.",
  }),
  enableLegacySse: option.bool({
    env: "MCP_ENABLE_LEGACY_SSE",
    yaml: "enableLegacySSE",
    default: false,
    help: "Allows the HTTP+SSE transport of 2024.",
  }),
};

const sessions = {
  sessionlessCompat: option.bool({
    env: "MCP_SESSIONLESS_COMPAT",
    default: true,
    help: "Answers calls that bring no session, as some clients send them, by a session of the relay's own. For a provider over stdio or legacy-sse.",
  }),
  shared: option.bool({
    env: "MCP_SHARED",
    default: false,
    help: "Starts a program over stdio once for all sessions, as a program needs that can run only once. Its clients share what it remembers, and it cannot ask them anything.",
  }),
  sessionIdleMs: option.duration({
    env: "MCP_SESSION_IDLE",
    default: "30m",
    max: DAY,
    help: "An unused session of a provider over stdio or legacy-sse ends after this; 0 is never.",
  }),
  maxSessions: option.int({
    env: "MCP_MAX_SESSIONS",
    default: 64,
    min: 1,
    max: 10_000,
    help: "Sessions at once of a provider over stdio or legacy-sse, each of which has a process or a connection; the one idle longest goes first.",
  }),
  maxLineBytes: option.bytes({
    env: "MCP_MAX_LINE_BYTES",
    default: 16_777_216,
    min: 1024,
    max: GIB,
    help: "Bytes of one message of a provider over stdio or legacy-sse.",
  }),
};

const stdio = {
  stdioCommand: option.text({
    env: "MCP_STDIO_COMMAND",
    path: "file",
    yaml: "stdio.command",
    default: undefined,
    help: "Program to start as the provider; an absolute path unless MCP_STDIO_ALLOW_RELATIVE.",
  }),
  stdioArgs: option.list({
    env: "MCP_STDIO_ARGS",
    yaml: "stdio.args",
    of: text(),
    secret: true,
    default: [],
    help: 'Its arguments, with commas between; a JSON list such as ["--roots", "a,b"] where they hold commas.',
  }),
  stdioEnv: option.pairs({
    env: "MCP_STDIO_ENV",
    yaml: "stdio.env",
    default: {},
    help: 'Its environment: NAME=value with commas between, a JSON object such as {"TOKEN": "a,b"}, or a YAML map.',
  }),
  stdioPassEnv: option.list({
    env: "MCP_STDIO_PASS_ENV",
    yaml: "stdio.passEnv",
    of: text(/^[^=\s]+$/),
    expects: "a list of names of environment variables",
    default: [],
    help: "Variables of the relay's own environment that the program gets too. It always gets HOME, PATH and the like, and those for proxies and certificates.",
  }),
  stdioWorkdir: option.text({
    env: "MCP_STDIO_WORKDIR",
    path: "folder",
    yaml: "stdio.workDir",
    default: undefined,
    help: "Its working directory.",
  }),
  stdioAllowRelative: option.bool({
    env: "MCP_STDIO_ALLOW_RELATIVE",
    yaml: "stdio.allowRelative",
    default: false,
    help: "Allows a command that is looked up in PATH.",
  }),
};

const http = {
  providerHeaders: option.pairs({
    env: "PROVIDER_HEADERS",
    yaml: "http.headers",
    default: {},
    help: "Headers that the relay adds to every request to an HTTP provider, such as a key: NAME=value with commas between, or a YAML map.",
  }),
  httpUrl: option.url({
    env: "MCP_HTTP_URL",
    yaml: "http.url",
    default: undefined,
    defaultNote: "PROVIDER_URL",
    help: "Streamable HTTP endpoint of the provider.",
  }),
  httpTimeoutMs: option.duration({
    env: "MCP_HTTP_TIMEOUT",
    yaml: "http.timeout",
    default: "30s",
    min: 10,
    max: DAY,
    help: "How long the provider may take to show that it is there; a call may take as long as it likes.",
  }),
  httpEnablePush: option.bool({
    env: "MCP_HTTP_ENABLE_PUSH",
    yaml: "http.enablePush",
    default: false,
    help: "Kept for settings of the 0.9 series: a client that listens is always let through to the provider.",
  }),
  httpInsecureSkipVerify: option.bool({
    env: "MCP_HTTP_INSECURE_SKIP_VERIFY",
    yaml: "http.insecureSkipVerify",
    default: false,
    help: "Does not check the provider's certificate.",
  }),
};

const oauth = {
  oauthEnabled: option.bool({
    env: "MCP_OAUTH_ENABLED",
    yaml: "oauth.enabled",
    default: false,
    help: "Asks for a token with the client credentials and brings it to the provider.",
  }),
  oauthTokenUrl: option.url({
    env: "MCP_OAUTH_TOKEN_URL",
    yaml: "oauth.tokenUrl",
    default: undefined,
    help: "Where tokens are given out; http:// is taken for this machine only.",
  }),
  oauthClientId: option.text({
    env: "MCP_OAUTH_CLIENT_ID",
    yaml: "oauth.clientId",
    default: undefined,
    help: "Client id.",
  }),
  oauthClientSecret: option.secret({
    env: "MCP_OAUTH_CLIENT_SECRET",
    yaml: "oauth.clientSecret",
    default: undefined,
    help: "Client secret.",
  }),
  oauthScopes: option.list({
    env: "MCP_OAUTH_SCOPES",
    yaml: "oauth.scopes",
    of: text(),
    default: [],
    help: "Scopes to ask for.",
  }),
  oauthTokenFile: option.text({
    env: "MCP_OAUTH_TOKEN_FILE",
    path: "file",
    yaml: "oauth.tokenFile",
    default: undefined,
    help: "File that keeps the token between runs, readable by its owner only.",
  }),
};

/** What the relay can be told about its provider. */
export const mcpAgentOptions = options("Provider", { ...general, ...sessions, ...stdio, ...http, ...oauth }, values => {
  const objections: Objection[] = headerObjections("providerHeaders", values.providerHeaders);
  const { stdioCommand } = values;
  if (stdioCommand !== undefined && !values.stdioAllowRelative && !isAbsolute(stdioCommand)) {
    objections.push({ keys: ["stdioCommand"], problem: "it must be an absolute path unless MCP_STDIO_ALLOW_RELATIVE" });
  }
  if (values.oauthEnabled && (values.oauthTokenUrl === undefined || values.oauthClientId === undefined)) {
    const problem = "OAuth needs a token URL and a client id";
    objections.push({ keys: ["oauthEnabled", "oauthTokenUrl", "oauthClientId"], problem });
  }
  if (values.oauthEnabled && values.authMode === "end-to-end") {
    const problem = "end to end the caller's own token goes to the provider, and the relay can bring none";
    objections.push({ keys: ["authMode", "oauthEnabled"], problem });
  }
  if (values.oauthTokenUrl !== undefined && !keepsSecrets(values.oauthTokenUrl)) {
    const problem =
      "it must begin with https://, as the client secret goes there; http:// is taken for this machine only";
    objections.push({ keys: ["oauthTokenUrl"], problem });
  }
  return objections;
});

/** True when nobody between here and this address can read what is sent there. */
function keepsSecrets(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname);
}

/** Relays of MCP servers. Their agent is a program of its own. */
export const mcpModule = defineModule({
  id: "mcp",
  summary: "MCP servers, each at an address of its own.",
  options: mcpBrokerOptions,
  serve: ({ values }) => ({ relays: values }),
});
