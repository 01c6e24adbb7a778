import type { Logger } from "../lib/log.ts";
import { type Clock, systemClock } from "../lib/time.ts";
import { wireOf } from "../protocol/wire-of.ts";
import { HttpProvider } from "./providers/http.ts";
import { LegacyClients } from "./providers/legacy-clients.ts";
import { type LegacySseOptions, legacySseProvider, legacySseSpawner } from "./providers/legacy-sse.ts";
import { oauthCredentials } from "./providers/oauth.ts";
import { stdioProvider, stdioSpawner } from "./providers/stdio.ts";
import { type Transport, TransportFallback } from "./providers/transport-fallback.ts";
import { relayAdapter } from "./relay-adapter.ts";
import { Agent, type AgentOptions } from "./run.ts";

/** The provider options of a relay, with the options' names. */
export interface ProviderSettings {
  providerUrl: string | undefined;
  authToken: string | undefined;
  open: boolean;
  authMode: "shield" | "end-to-end";
  replicas: boolean;
  transportOrder: readonly ("stdio" | "http" | "oauth" | "legacy-sse")[];
  initTimeoutMs: number;
  maxInflight: number;
  httpAllowStreaming: boolean;
  protocolVersion: string | undefined;
  enableLegacySse: boolean;
  sessionlessCompat: boolean;
  shared: boolean;
  sessionIdleMs: number;
  maxSessions: number;
  maxLineBytes: number;
  stdioCommand: string | undefined;
  stdioArgs: readonly string[];
  stdioEnv: Readonly<Record<string, string>>;
  stdioPassEnv: readonly string[];
  stdioWorkdir: string | undefined;
  httpUrl: string | undefined;
  providerHeaders: Readonly<Record<string, string>>;
  httpTimeoutMs: number;
  httpInsecureSkipVerify: boolean;
  oauthEnabled: boolean;
  oauthTokenUrl: string | undefined;
  oauthClientId: string | undefined;
  oauthClientSecret: string | undefined;
  oauthScopes: readonly string[];
  oauthTokenFile: string | undefined;
}

export interface RelayAgentOptions
  extends Omit<AgentOptions, "module" | "service" | "clientId" | "maxConcurrency" | "wire"> {
  /** The id under which the relay is reached; a random one when there is none. */
  id: string | undefined;
  provider: ProviderSettings;
}

/** Concurrency that a relay without a limit states; the broker has its own limit. */
const UNLIMITED = 1_000_000;

/** The default address of a provider. */
const DEFAULT_URL = "http://127.0.0.1:7777/";

/** An agent that makes a private MCP server reachable. */
export function relayAgent({ id: given, provider: settings, ...rest }: RelayAgentOptions): Agent {
  const id = given || crypto.randomUUID();
  // Callers need this ID.
  if (id !== given) rest.log.info({ id }, "CLIENT_ID is not set: the relay has this ID until it restarts");
  const clock = rest.clock ?? systemClock;
  const transports = waysOf(settings, clock, rest.log);
  const provider = new TransportFallback(transports, settings.initTimeoutMs, clock, rest.log);
  const service = relayAdapter({
    id,
    provider,
    address: transports.map(transport => transport.name).join(", "),
    authToken: settings.authToken,
    open: settings.open,
    endToEnd: settings.authMode === "end-to-end",
    streaming: settings.httpAllowStreaming,
    maxInflight: settings.maxInflight,
    replicas: settings.replicas,
    clock,
  });
  const maxConcurrency = settings.maxInflight > 0 ? settings.maxInflight : UNLIMITED;
  // The connection's own id is not the relay's: one that comes back takes its old connection's place, another does not.
  return new Agent({
    ...rest,
    module: "mcp",
    service,
    clientId: undefined,
    maxConcurrency,
    wire: version => wireOf(version, "mcp"),
  });
}

/** The ways to the provider that the options describe, in the order to try them. */
function waysOf(settings: ProviderSettings, clock: Clock, log: Logger): Transport[] {
  const { httpTimeoutMs: timeoutMs, httpInsecureSkipVerify: insecureSkipVerify, stdioCommand } = settings;
  const { sessionlessCompat, shared: oneForAll, sessionIdleMs, maxSessions, initTimeoutMs, protocolVersion } = settings;
  const lineBytes = settings.maxLineBytes;
  const shared = {
    sessionlessCompat,
    shared: oneForAll,
    sessionIdleMs,
    maxSessions,
    initTimeoutMs,
    protocolVersion,
    lineBytes,
    clock,
    log,
  };
  // The default address is used only if no other provider is configured.
  const url = settings.httpUrl ?? settings.providerUrl ?? (stdioCommand === undefined ? DEFAULT_URL : undefined);
  const credentials = credentialsOf(settings, clock, log);
  const stdio = stdioCommand === undefined ? undefined : stdioTransport(settings, stdioCommand, shared);
  if (url === undefined) return stdio !== undefined && settings.transportOrder.includes("stdio") ? [stdio] : [];
  const headers = settings.providerHeaders;
  const http = { url, timeoutMs, insecureSkipVerify, headers };
  const known: Record<(typeof settings.transportOrder)[number], Transport | undefined> = {
    stdio,
    // With credentials it is the next transport: without them a server would only refuse.
    http: credentials === undefined ? { name: url, open: () => new HttpProvider(http) } : undefined,
    oauth: credentials && { name: `${url} with OAuth`, open: () => new HttpProvider({ ...http, credentials }) },
    "legacy-sse": settings.enableLegacySse ? legacySseTransport(url, { ...shared, headers: () => headers }) : undefined,
  };
  return settings.transportOrder.map(name => known[name]).filter(transport => transport !== undefined);
}

type Shared = Omit<LegacySseOptions, "url">;

function stdioTransport(settings: ProviderSettings, command: string, shared: Shared): Transport {
  const { stdioArgs: args, stdioEnv: env, stdioPassEnv: passEnv, stdioWorkdir: workdir } = settings;
  const options = { ...shared, command, args, env, passEnv, workdir };
  // Made once, so that a program that keeps crashing is not started anew with every look at it.
  const starts = stdioSpawner(options);
  return {
    name: command,
    open: () => new LegacyClients(stdioProvider(options, starts), shared.lineBytes, shared.clock),
  };
}

function legacySseTransport(url: string, shared: Shared): Transport {
  const options = { ...shared, url };
  const starts = legacySseSpawner(options);
  return {
    name: `${url} with HTTP+SSE`,
    open: () => new LegacyClients(legacySseProvider(options, starts), shared.lineBytes, shared.clock),
  };
}

/** Made once, so that what it knows of tokens and failures outlives a provider that goes away. */
function credentialsOf(
  settings: ProviderSettings,
  clock: Clock,
  log: Logger,
): ReturnType<typeof oauthCredentials> | undefined {
  const { oauthEnabled, oauthTokenUrl: tokenUrl, oauthClientId: clientId } = settings;
  if (!oauthEnabled || tokenUrl === undefined || clientId === undefined) return undefined;
  return oauthCredentials({
    tokenUrl,
    clientId,
    clientSecret: settings.oauthClientSecret,
    scopes: settings.oauthScopes,
    tokenFile: settings.oauthTokenFile,
    clock,
    log,
  });
}
