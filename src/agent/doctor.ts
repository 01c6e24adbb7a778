// `doctor` of an agent: checks the path to the broker and to the backend.

import { messageOf } from "../lib/errors.ts";
import { checkDescriptors } from "../lib/file-descriptors.ts";
import { type Finding, fail, ok, warn } from "../lib/findings.ts";
import { checkAddress, checkConfig, checkFolder } from "../lib/machine-checks.ts";
import { StatusError } from "../lib/status-error.ts";
import { reach } from "./broker-reachability.ts";
import { proxyFor, proxyTrouble } from "./proxy.ts";
import type { Agent } from "./run.ts";
import { tokenDir } from "./status.ts";

/** Timeout of a query to a program on this machine, in milliseconds. */
const ASK_MS = 2_000;

type HostAndPort = { host: string; port: number };

export interface AgentExamination {
  program: string;
  config: { path: string; found: boolean };
  agent: Agent;
  /** The option that names the backend. */
  backendOption: string;
  /** The option that has the backend's key, where there is one. */
  keyOption: string | undefined;
  /** A backend without models is of no use. */
  needsModels: boolean;
  statusAddress: HostAndPort | undefined;
  metricsAddress: HostAndPort | undefined;
  logDir: string | undefined;
}

/** Looks at everything once, in the order in which it would fail. */
export async function* examineAgent(examination: AgentExamination): AsyncGenerator<Finding> {
  const { agent, config, program, statusAddress, metricsAddress, logDir } = examination;
  yield checkConfig(config, program);
  for (const broker of agent.brokers) yield* reach(broker);
  yield await examineBackend(examination);
  if (agent.exits)
    yield warn(
      "reconnect",
      "the agent exits when the broker is unavailable: set RECONNECT, or start it with --reconnect",
    );
  if (statusAddress !== undefined) {
    yield await checkAddress("status", statusAddress, "STATUS_ADDR", () => running(statusAddress, "/version"));
    yield checkFolder("token", tokenDir(config.path, agent.module), "--config");
  }
  if (metricsAddress !== undefined)
    yield await checkAddress("metrics", metricsAddress, "METRICS_PORT", () => running(metricsAddress, "/metrics"));
  yield* checkDescriptors();
  if (logDir !== undefined) yield checkFolder("logs", logDir, "LOG_DIR");
}

async function examineBackend(examination: AgentExamination): Promise<Finding> {
  const { backendOption, keyOption, needsModels } = examination;
  const { service } = examination.agent;
  const proxy = /^https?:/.test(service.address) ? proxyFor(service.address, process.env) : undefined;
  if (proxy?.problem !== undefined) return fail("backend", `${service.address} is behind a proxy: ${proxy.problem}`);
  try {
    const { models, facts } = await service.look();
    const version = [facts["backend_family"], facts["backend_version"]].filter(Boolean).join(" ");
    const about = `${service.address} responds${version && ` (${version})`}`;
    if (models.length > 0)
      return ok("backend", `${about}: ${models.slice(0, 5).join(", ")}${models.length > 5 ? " …" : ""}`);
    return needsModels
      ? warn("backend", `${about} but has no models: add one, such as with ollama pull`)
      : ok("backend", about);
  } catch (error) {
    const message = messageOf(error);
    const trouble = proxy && proxyTrouble(proxy, error instanceof Error ? error : new Error(message));
    if (trouble !== undefined) return fail("backend", trouble.message);
    const status = error instanceof StatusError ? error.status : undefined;
    const named =
      keyOption !== undefined && rejectsKey(status) ? `set the key in ${keyOption}` : `correct ${backendOption}`;
    return fail("backend", `${explain(message, status, service.address)}; ${named}`);
  } finally {
    await service.close?.();
  }
}

const rejectsKey = (status: number | undefined): boolean => status === 401 || status === 403;

function explain(message: string, status: number | undefined, address: string): string {
  if (/Unable to connect|ECONNREFUSED|ConnectionRefused/i.test(message))
    return `no response from ${address}: start the backend`;
  if (rejectsKey(status)) return `${address} rejects the key: ${message}`;
  if (status === 404)
    return `${address} seems to be the wrong address; often a /v1 is missing or superfluous: ${message}`;
  return `${address} reports an error: ${message}`;
}

/** Why the agent that runs with this METRICS_PORT does not serve; undefined when it is connected to its broker. */
export async function agentTrouble(metricsAddress: HostAndPort | undefined): Promise<string | undefined> {
  if (metricsAddress === undefined) return "set METRICS_PORT to check a running agent";
  const text = await ask(metricsAddress, "/metrics");
  if (text === undefined) return `no agent responds at port ${metricsAddress.port}`;
  return /^nfrx_worker_connected_to_server 1$/m.test(text) ? undefined : "the agent is not connected to its broker";
}

/** Finding for an address at which an nfrx agent already listens. */
async function running(address: HostAndPort, path: string): Promise<string | undefined> {
  const text = (await ask(address, path)) ?? "";
  const ours = /"build_sha"|nfrx_worker_build_info/.test(text);
  return ours ? `an nfrx agent is running at port ${address.port}` : undefined;
}

/** The response of an address of this machine; undefined if there is none. */
async function ask({ host, port }: HostAndPort, path: string): Promise<string | undefined> {
  try {
    const url = `http://${host === "" || host === "0.0.0.0" ? "127.0.0.1" : host}:${port}${path}`;
    return await (await fetch(url, { signal: AbortSignal.timeout(ASK_MS) })).text();
  } catch {
    return undefined;
  }
}
