// An agent as a process: its options, its servers, its signals.
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import type { agentOptions, workerOptions } from "../config/agent.ts";
import type { Values } from "../config/group.ts";
import type { Logger } from "../lib/log.ts";
import type { Backend } from "../modules/module.ts";
import { proxyFor } from "./proxy.ts";
import { Agent } from "./run.ts";
import { controlToken, serveMetrics, serveStatus } from "./status.ts";

export interface AgentProcess {
  module: string;
  agent: Values<ReturnType<typeof agentOptions>>;
  worker: Values<typeof workerOptions>;
  backend: Backend;
  /** The token file is `<tokenName>.token` beside this file. */
  configFile: string;
  tokenName: string;
  log: Logger;
  /** Calls its argument on SIGTERM and SIGINT, and returns after the first. */
  onSignal: (run: () => void) => void;
}

/** Runs an agent until it is told to stop; the process' exit code. */
export async function runAgent(options: AgentProcess): Promise<number> {
  const { agent: shared, worker, log } = options;
  const agent = new Agent({
    module: options.module,
    backend: options.backend,
    serverUrl: shared.serverUrl,
    clientKey: shared.clientKey,
    clientId: shared.clientId,
    clientName: shared.clientName,
    maxConcurrency: worker.maxConcurrency,
    requestTimeoutMs: shared.requestTimeoutMs,
    reconnect: shared.reconnect,
    ca: shared.tlsCaFile === undefined ? undefined : readFileSync(shared.tlsCaFile, "utf8"),
    proxy: proxyFor(shared.serverUrl, process.env),
    log,
  });
  const shutdown = (): void => {
    agent.shutdown(worker.drainTimeoutMs).then(finished => {
      if (!finished) log.warn({}, "not all work finished before the drain timed out");
    });
  };
  const servers: Bun.Server<undefined>[] = [];
  if (worker.statusAddress !== undefined) {
    const token = controlToken(dirname(options.configFile), options.tokenName, log);
    servers.push(serveStatus({ agent, address: worker.statusAddress, token, onShutdown: shutdown }));
  }
  if (shared.metricsAddress !== undefined) servers.push(serveMetrics(agent, shared.metricsAddress));
  options.onSignal(shutdown);
  try {
    await agent.run();
    return 0;
  } catch (error) {
    log.error(
      { reason: error instanceof Error ? error.message : String(error) },
      "the agent stops; start it with --reconnect to keep it trying",
    );
    return 1;
  } finally {
    await Promise.all(servers.map(server => server.stop(true)));
  }
}
