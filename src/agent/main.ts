// An agent as a process: its options, its servers, its signals.
import type { agentOptions, workerOptions } from "../config/agent.ts";
import type { Values } from "../config/group.ts";
import { serveMetrics } from "../lib/listen.ts";
import type { Logger } from "../lib/log.ts";
import { readCertificates } from "../lib/pem.ts";
import { serviceManagerOf } from "../lib/systemd.ts";
import type { Tracing } from "../lib/tracing.ts";
import { plainTextHost } from "./broker-reachability.ts";
import { adoptProxies, proxyFor } from "./proxy.ts";
import type { Agent, AgentOptions } from "./run.ts";
import { controlToken, serveStatus, tokenDir } from "./status.ts";

export interface AgentProcess {
  agent: Agent;
  metricsAddress: Values<ReturnType<typeof agentOptions>>["metricsAddress"];
  drainTimeoutMs: number;
  /** The local control endpoint, if enabled: its address, the configuration file, and the name of its token. */
  status?: { address: Values<typeof workerOptions>["statusAddress"]; configFile: string; name: string };
  /** Closed at the end, when there are traces. */
  tracing?: Tracing | undefined;
  log: Logger;
  /** Calls its argument on SIGTERM and SIGINT, and returns after the first. */
  onSignal: (run: () => void) => void;
}

/**
 * Connection settings from the options and proxy variables; normalizes the variables for every fetch of the process.
 * Throws if the CA file cannot be read.
 */
export function connectionOf(
  shared: Values<ReturnType<typeof agentOptions>>,
): Pick<AgentOptions, "servers" | "clientName" | "reconnect" | "headers" | "ca"> {
  const { serverUrl, clientKey, clientName, reconnect, tlsCaFile, agentHeaders } = shared;
  const proxy = proxyFor(serverUrl, process.env);
  adoptProxies(process.env);
  return {
    servers: [{ serverUrl, clientKey, proxy }],
    clientName,
    reconnect,
    headers: agentHeaders,
    ca: tlsCaFile === undefined ? undefined : readCertificates("TLS_CA_FILE", tlsCaFile),
  };
}

/** Runs an agent until a signal stops it; resolves to the exit code. */
export async function runAgent(options: AgentProcess): Promise<number> {
  const { agent, status, log } = options;
  for (const { url } of agent.brokers) {
    const unencrypted = plainTextHost(url);
    if (unencrypted !== undefined)
      log.warn(
        { host: unencrypted },
        "SERVER_URL is not encrypted: CLIENT_KEY and all requests are sent in plain text; use wss://",
      );
  }
  const manager = await serviceManagerOf(log);
  const shutdown = (): void => {
    manager.stopping();
    agent.shutdown(options.drainTimeoutMs).then(finished => {
      if (!finished) log.warn({}, "drain timeout: some requests did not finish");
    });
  };
  const servers: Bun.Server<undefined>[] = [];
  if (status?.address !== undefined) {
    const token = controlToken(tokenDir(status.configFile, status.name), status.name, log);
    servers.push(serveStatus({ agent, address: status.address, token, onShutdown: shutdown }));
  }
  if (options.metricsAddress !== undefined) {
    const server = serveMetrics(options.metricsAddress, () => agent.metrics.meters.response());
    log.info({ port: server.port }, "serving metrics");
    servers.push(server);
  }
  options.onSignal(shutdown);
  // The service is ready once started: an unavailable broker must not make it fail.
  manager.ready(() => agent.summary);
  try {
    await agent.run();
    return 0;
  } catch (error) {
    log.error(
      { reason: error instanceof Error ? error.message : String(error) },
      "the agent exits; start it with --reconnect to make it retry",
    );
    return 1;
  } finally {
    await Promise.all([...servers.map(server => server.stop(true)), options.tracing?.close()]);
  }
}
