import type { Backend } from "../modules/module.ts";
import { Agent, type AgentOptions } from "./run.ts";
import { backendService } from "./service.ts";

export interface WorkerAgentOptions extends Omit<AgentOptions, "service"> {
  backend: Backend;
  /** Milliseconds without a byte from the backend. */
  requestTimeoutMs: number;
}

/** An agent of a worker module, in front of its backend. */
export function workerAgent({ backend, requestTimeoutMs, ...rest }: WorkerAgentOptions): Agent {
  return new Agent({ service: backendService(backend, requestTimeoutMs, rest.clock), ...rest });
}
