import type { AgentEndpoint, Backend } from "../modules/module.ts";
import { backendAdapter } from "./backend-adapter.ts";
import { Agent, type AgentOptions } from "./run.ts";

export interface WorkerAgentOptions extends Omit<AgentOptions, "service"> {
  backend: Backend;
  /** Milliseconds without a byte from the backend. */
  requestTimeoutMs: number;
  /** All that is served of the backend; every path below its base URL when left out. */
  endpoints?: readonly AgentEndpoint[] | undefined;
}

/** An agent of a worker module, in front of its backend. */
export function workerAgent({ backend, requestTimeoutMs, endpoints, ...rest }: WorkerAgentOptions): Agent {
  return new Agent({ service: backendAdapter(backend, { requestTimeoutMs, endpoints, clock: rest.clock }), ...rest });
}
