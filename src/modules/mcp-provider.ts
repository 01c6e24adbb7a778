import { isAbsolute } from "node:path";
import { z } from "zod";
import { type Objection, options } from "../config/group.ts";
import { headerObjections } from "../config/headers.ts";
import { option } from "../config/option.ts";
import { text } from "../config/values.ts";
import { randomKey } from "../lib/keys.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const GIB = 1024 ** 3;

const general = {
  providerUrl: option.url({
    env: "PROVIDER_URL",
    default: undefined,
    defaultNote: "http://127.0.0.1:7777/, unless MCP_STDIO_COMMAND or MCP_HTTP_URL is set",
    help: "URL of an HTTP provider; short form of MCP_HTTP_URL.",
  }),
  authToken: option.secret({
    env: "AUTH_TOKEN",
    default: undefined,
    seed: randomKey,
    help: "Token that callers of this relay send, as bearer token or X-Api-Key. Without it they send the broker's API_KEY.",
  }),
  open: option.bool({
    env: "MCP_OPEN",
    default: false,
    help: "Serves callers without credentials, if the broker allows it with MCP_ALLOW_OPEN. Has no effect with AUTH_TOKEN.",
  }),
  authMode: option.choice({
    env: "MCP_AUTH_MODE",
    values: ["shield", "end-to-end"],
    default: "shield",
    help: "shield: the relay removes the caller's Authorization header. end-to-end: it is forwarded to the provider, which checks it.",
  }),
  replicas: option.bool({
    env: "MCP_REPLICAS",
    default: false,
    help: "Shares CLIENT_ID with other relays that set this option too. Each session stays with its relay.",
  }),
  drainTimeoutMs: option.duration({
    env: "DRAIN_TIMEOUT",
    default: "1m",
    max: DAY,
    allowForever: true,
    help: "Time for running calls to finish after SIGTERM. 0 exits immediately, -1 waits indefinitely. A second SIGTERM exits immediately.",
  }),
  httpAllowStreaming: option.bool({
    env: "MCP_HTTP_ALLOW_STREAMING",
    default: true,
    help: "Forwards the provider's event streams. If false, each call gets one JSON response, and clients cannot open an event stream.",
  }),
  transportOrder: option.list({
    env: "MCP_TRANSPORT_ORDER",
    yaml: "order",
    of: z.enum(["stdio", "http", "oauth", "legacy-sse"]),
    expects: "a list of stdio, http, oauth and legacy-sse",
    default: ["stdio", "http", "oauth"],
    help: "Transports to try, in this order: stdio, http, oauth, legacy-sse.",
  }),
  initTimeoutMs: option.duration({
    env: "MCP_INIT_TIMEOUT",
    yaml: "initTimeout",
    default: "2m",
    min: 10,
    max: 15 * MINUTE,
    help: "Time for the provider to start and to respond for the first time. Callers get 503 until then.",
  }),
  protocolVersion: option.text({
    env: "MCP_PROTOCOL_VERSION",
    yaml: "protocolVersion",
    pattern: /^\d{4}-\d{2}-\d{2}$/,
    expects: "a version such as 2025-11-25",
    default: undefined,
    defaultNote: "negotiated",
    help: "MCP version to use with the provider.",
  }),
  maxInflight: option.int({
    env: "MCP_MAX_INFLIGHT",
    yaml: "maxInFlight",
    default: 0,
    min: 0,
    max: 100_000,
    help: "Maximum number of concurrent calls; 0 sets no limit.",
  }),
  enableLegacySse: option.bool({
    env: "MCP_ENABLE_LEGACY_SSE",
    yaml: "enableLegacySSE",
    default: false,
    help: "Allows the HTTP+SSE transport of MCP 2024-11-05.",
  }),
};

const sessions = {
  sessionlessCompat: option.bool({
    env: "MCP_SESSIONLESS_COMPAT",
    default: true,
    help: "Serves calls without a session, as some clients send them, through a session of the relay. For stdio and legacy-sse providers.",
  }),
  shared: option.bool({
    env: "MCP_SHARED",
    default: false,
    help: "Starts one stdio process for all sessions, for programs that can run only once. Its clients share its state, and it cannot send them requests.",
  }),
  sessionIdleMs: option.duration({
    env: "MCP_SESSION_IDLE",
    default: "30m",
    max: DAY,
    help: "Idle timeout of a session of a stdio or legacy-sse provider; 0 disables it.",
  }),
  maxSessions: option.int({
    env: "MCP_MAX_SESSIONS",
    default: 64,
    min: 1,
    max: 10_000,
    help: "Maximum number of sessions of a stdio or legacy-sse provider; each has its own process or connection. Beyond it the longest idle session is closed.",
  }),
  maxLineBytes: option.bytes({
    env: "MCP_MAX_LINE_BYTES",
    default: 16_777_216,
    min: 1024,
    max: GIB,
    help: "Maximum size of one message of a stdio or legacy-sse provider.",
  }),
};

const stdio = {
  stdioCommand: option.text({
    env: "MCP_STDIO_COMMAND",
    path: "file",
    yaml: "stdio.command",
    default: undefined,
    help: "Program to start as the provider. Must be an absolute path unless MCP_STDIO_ALLOW_RELATIVE is set.",
  }),
  stdioArgs: option.list({
    env: "MCP_STDIO_ARGS",
    yaml: "stdio.args",
    of: text(),
    secret: true,
    default: [],
    help: 'Arguments of the program, comma-separated; use a JSON array such as ["--roots", "a,b"] if an argument contains a comma.',
  }),
  stdioEnv: option.pairs({
    env: "MCP_STDIO_ENV",
    yaml: "stdio.env",
    default: {},
    help: 'Environment of the program: comma-separated NAME=value pairs, a JSON object such as {"TOKEN": "a,b"}, or a YAML map.',
  }),
  stdioPassEnv: option.list({
    env: "MCP_STDIO_PASS_ENV",
    yaml: "stdio.passEnv",
    of: text(/^[^=\s]+$/),
    expects: "a list of environment variable names",
    default: [],
    help: "Variables of the relay's environment to pass to the program. HOME, PATH and the like, and variables for proxies and certificates, are always passed.",
  }),
  stdioWorkdir: option.text({
    env: "MCP_STDIO_WORKDIR",
    path: "folder",
    yaml: "stdio.workDir",
    default: undefined,
    help: "Working directory of the program.",
  }),
  stdioAllowRelative: option.bool({
    env: "MCP_STDIO_ALLOW_RELATIVE",
    yaml: "stdio.allowRelative",
    default: false,
    help: "Allows a command that is found through PATH.",
  }),
};

const http = {
  providerHeaders: option.pairs({
    env: "PROVIDER_HEADERS",
    yaml: "http.headers",
    default: {},
    help: "Headers to add to every request to an HTTP provider, such as a key: comma-separated NAME=value pairs, or a YAML map.",
  }),
  httpUrl: option.url({
    env: "MCP_HTTP_URL",
    yaml: "http.url",
    default: undefined,
    defaultNote: "PROVIDER_URL",
    help: "Streamable HTTP URL of the provider.",
  }),
  httpTimeoutMs: option.duration({
    env: "MCP_HTTP_TIMEOUT",
    yaml: "http.timeout",
    default: "30s",
    min: 10,
    max: DAY,
    help: "Time for the provider to respond to the availability check. Calls have no time limit.",
  }),
  httpEnablePush: option.bool({
    env: "MCP_HTTP_ENABLE_PUSH",
    yaml: "http.enablePush",
    default: false,
    help: "Accepted for compatibility with 0.9; has no effect. A client's event stream is always forwarded to the provider.",
  }),
  httpInsecureSkipVerify: option.bool({
    env: "MCP_HTTP_INSECURE_SKIP_VERIFY",
    yaml: "http.insecureSkipVerify",
    default: false,
    help: "Skips verification of the provider's certificate.",
  }),
};

const oauth = {
  oauthEnabled: option.bool({
    env: "MCP_OAUTH_ENABLED",
    yaml: "oauth.enabled",
    default: false,
    help: "Requests a token with the client credentials grant and sends it to the provider.",
  }),
  oauthTokenUrl: option.url({
    env: "MCP_OAUTH_TOKEN_URL",
    yaml: "oauth.tokenUrl",
    default: undefined,
    help: "Token endpoint. http:// is accepted only for this machine.",
  }),
  oauthClientId: option.text({
    env: "MCP_OAUTH_CLIENT_ID",
    yaml: "oauth.clientId",
    default: undefined,
    help: "OAuth client ID.",
  }),
  oauthClientSecret: option.secret({
    env: "MCP_OAUTH_CLIENT_SECRET",
    yaml: "oauth.clientSecret",
    default: undefined,
    help: "OAuth client secret.",
  }),
  oauthScopes: option.list({
    env: "MCP_OAUTH_SCOPES",
    yaml: "oauth.scopes",
    of: text(),
    default: [],
    help: "OAuth scopes to request.",
  }),
  oauthTokenFile: option.text({
    env: "MCP_OAUTH_TOKEN_FILE",
    path: "file",
    yaml: "oauth.tokenFile",
    default: undefined,
    help: "File that stores the token between runs, readable only by its owner.",
  }),
};

/** The relay's provider options. */
export const mcpAgentOptions = options("Provider", { ...general, ...sessions, ...stdio, ...http, ...oauth }, values => {
  const objections: Objection[] = headerObjections("providerHeaders", values.providerHeaders);
  const { stdioCommand } = values;
  if (stdioCommand !== undefined && !values.stdioAllowRelative && !isAbsolute(stdioCommand)) {
    objections.push({
      keys: ["stdioCommand"],
      problem: "must be an absolute path unless MCP_STDIO_ALLOW_RELATIVE is set",
    });
  }
  if (values.oauthEnabled && (values.oauthTokenUrl === undefined || values.oauthClientId === undefined)) {
    const problem = "OAuth needs a token URL and a client ID";
    objections.push({ keys: ["oauthEnabled", "oauthTokenUrl", "oauthClientId"], problem });
  }
  if (values.oauthEnabled && values.authMode === "end-to-end") {
    const problem = "in end-to-end mode the caller's token goes to the provider, so the relay cannot send its own";
    objections.push({ keys: ["authMode", "oauthEnabled"], problem });
  }
  if (values.oauthTokenUrl !== undefined && !keepsSecrets(values.oauthTokenUrl)) {
    const problem =
      "must begin with https://, because the client secret is sent there; http:// is accepted only for this machine";
    objections.push({ keys: ["oauthTokenUrl"], problem });
  }
  return objections;
});

/** True if the connection to this address cannot be read by others. */
function keepsSecrets(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname);
}
