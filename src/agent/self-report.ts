import type { Drain } from "../lib/drain.ts";
import { DATE, SHA, VERSION } from "../lib/version.ts";
import { MODEL_DETAILS_BYTES } from "../protocol/limits.ts";
import type { ControlMessage } from "../protocol/messages.ts";
import type { BackendAdapter } from "./backend-adapter.ts";
import type { BackendWatch } from "./backend-watch.ts";
import { hostFacts } from "./host.ts";

/** As much of an agent as it reports. */
interface Reported {
  readonly id: string;
  readonly name: string;
  readonly service: BackendAdapter;
  readonly maxConcurrency: number;
  readonly work: Drain;
  readonly watch: BackendWatch;
}

/** An agent's report to its brokers. */
export class SelfReport {
  constructor(private readonly agent: Reported) {}

  registration(version: 1 | 2, clientKey: string | undefined): ControlMessage {
    const backend = this.agent.watch.state;
    return {
      type: "register",
      worker_id: this.agent.id,
      worker_name: this.agent.name,
      // A v1 broker may look for the key here only.
      ...(version === 1 && clientKey !== undefined && { client_key: clientKey }),
      models: backend.ready ? backend.models : (this.agent.service.models ?? []),
      ...this.#details(version),
      max_concurrency: this.#capacity,
      version: VERSION,
      build_sha: SHA,
      build_date: DATE,
      agent_config: this.facts,
      ...this.agent.service.registration,
    };
  }

  status(version: 1 | 2): ControlMessage {
    const backend = this.agent.watch.state;
    return {
      type: "status_update",
      max_concurrency: this.#capacity,
      ...(backend.ready && { models: backend.models, ...this.#details(version) }),
      status: this.agent.work.draining
        ? "draining"
        : backend.ready
          ? this.agent.work.inflight > 0
            ? "working"
            : "idle"
          : "not_ready",
      agent_config: this.facts,
    };
  }

  /** The backend's model details, for a broker that supports the field, if they are not too large. */
  #details(version: 1 | 2): { model_details?: object } {
    const backend = this.agent.watch.state;
    if (version === 1 || !backend.ready || backend.details === undefined) return {};
    const length =
      Buffer.byteLength(JSON.stringify(backend.details)) + Buffer.byteLength(JSON.stringify(backend.models));
    return length > MODEL_DETAILS_BYTES ? {} : { model_details: backend.details };
  }

  get #capacity(): number {
    return this.agent.work.draining || !this.agent.watch.state.ready ? 0 : this.agent.maxConcurrency;
  }

  /** Report about the machine and the backend. */
  get facts(): Record<string, string> {
    const backend = this.agent.watch.state;
    return { ...hostFacts(), ...(backend.ready ? backend.facts : this.agent.service.facts) };
  }
}
