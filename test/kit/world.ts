// A whole world in one call: a broker, backends and agents, in this process, on ports of their own.

import type { Agent } from "../../src/agent/run.ts";
import { type WorkerAgentOptions, workerAgent } from "../../src/agent/worker-agent.ts";
import { Broker, type BrokerOptions } from "../../src/broker/broker.ts";
import type { People } from "../../src/broker/people/people.ts";
import { brokerOptions } from "../../src/config/broker.ts";
import { defaultsOf } from "../../src/config/group.ts";
import type { Logger } from "../../src/lib/log.ts";
import type { Clock } from "../../src/lib/time.ts";
import type { Tracing } from "../../src/lib/tracing.ts";
import { asrAgentOptions, asrBackend, asrModule } from "../../src/modules/asr.ts";
import { doclingAgentOptions, doclingBackend, doclingModule } from "../../src/modules/docling.ts";
import { llmAgentOptions, llmBackend, llmModule } from "../../src/modules/llm.ts";
import type { Backend, Module, PoolSettings } from "../../src/modules/module.ts";
import { startBackend, type TestBackend } from "./backend/backend.ts";
import { noneSpooled } from "./broker/spooled.ts";
import { Changes } from "./time/until.ts";

export const API_KEY = "test-api-key";
export const CLIENT_KEY = "test-client-key";

interface Known {
  module: Module;
  backend(url: string): Backend;
}

/** The worker modules, with their defaults. */
const KNOWN = {
  llm: {
    module: llmModule,
    backend: url => llmBackend({ ...defaultsOf(llmAgentOptions), completionBaseUrl: url }),
  },
  asr: {
    module: asrModule,
    backend: url => asrBackend({ ...defaultsOf(asrAgentOptions), asrBaseUrl: url }),
  },
  docling: {
    module: doclingModule,
    backend: url => doclingBackend({ ...defaultsOf(doclingAgentOptions), docBaseUrl: url.replace(/\/v1$/, "") }),
  },
} satisfies Record<string, Known>;

/** A line that some part of the world logged. */
export interface LogLine {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

export interface WorldOptions {
  /** Keys that operators made, and the ledger. */
  people?: People;
  /** What it serves; llm unless told. */
  module?: keyof typeof KNOWN;
  /** Broker options that differ from the defaults (keys are set, ports are free ones). */
  broker?: Partial<BrokerOptions["values"]>;
  /** Pool settings that differ from the defaults. */
  pool?: Partial<PoolSettings>;
  /** The broker's clock; agents have the system's unless told. */
  clock?: Clock;
  /** The broker's traces; an agent has its own. */
  tracing?: Tracing;
}

export class World {
  readonly logs: LogLine[] = [];
  readonly backends: TestBackend[] = [];
  readonly agents: Agent[] = [];
  readonly broker: Broker;
  readonly #known: Known;
  readonly #changes = new Changes();
  readonly #runs: Promise<void>[] = [];

  constructor(options: WorldOptions = {}) {
    const values = {
      ...defaultsOf(brokerOptions),
      port: 0,
      host: "127.0.0.1",
      jobsStore: "memory",
      metricsOpen: true,
      apiKey: API_KEY,
      clientKey: CLIENT_KEY,
      // An unknown model is unknown from the first moment on.
      startGraceMs: 0,
      ...options.broker,
    };
    this.#known = KNOWN[options.module ?? "llm"];
    const { module } = this.#known;
    this.broker = Broker.start({
      values,
      modules: [module.configure({ ...defaultsOf(module.options), ...options.pool })],
      log: this.log("broker"),
      tracing: options.tracing,
      people: options.people,
      ...(options.clock && { clock: options.clock }),
    });
    this.#tellOfSeats();
  }

  get origin(): string {
    return `http://127.0.0.1:${this.broker.port}`;
  }

  /** The base URL of its module's API; for OpenAI's SDKs it is theirs. */
  get url(): string {
    return `${this.origin}/api/${this.#known.module.id}/v1`;
  }

  get connectUrl(): string {
    return `ws://127.0.0.1:${this.broker.port}/api/${this.#known.module.id}/connect`;
  }

  get pool() {
    const [mounted] = this.broker.mounted;
    if (mounted === undefined) throw new Error("no module is mounted");
    return mounted.pool;
  }

  /** A new backend of the test kit. */
  async backend(options: Parameters<typeof startBackend>[0] = {}): Promise<TestBackend> {
    const backend = await startBackend(options);
    this.backends.push(backend);
    return backend;
  }

  /** An agent in front of `backend`, registered by the time this resolves. */
  async agent(
    backend: { url: string },
    options: Partial<WorkerAgentOptions> & { batchSize?: number; clientKey?: string | undefined } = {},
  ): Promise<Agent> {
    const { batchSize, clientKey = "clientKey" in options ? undefined : CLIENT_KEY, ...rest } = options;
    const agent = workerAgent({
      module: this.#known.module.id,
      backend: {
        ...this.#known.backend(backend.url),
        ...(batchSize !== undefined && { facts: { embedding_batch_size: String(batchSize) } }),
      },
      servers: [{ serverUrl: this.connectUrl, clientKey }],
      clientId: undefined,
      clientName: `worker-${this.agents.length + 1}`,
      maxConcurrency: 2,
      requestTimeoutMs: 300_000,
      reconnect: false,
      log: this.log("agent"),
      ...rest,
    });
    this.agents.push(agent);
    this.#runs.push(agent.run().catch(() => {}));
    await this.when(
      () => this.pool.registry.get(agent.id) !== undefined && agent.state !== "connecting",
      `agent ${agent.name} is registered`,
    );
    return agent;
  }

  /** A backend and an agent in front of it. */
  async worker(
    options: Parameters<World["agent"]>[1] & { models?: string[] } = {},
  ): Promise<{ backend: TestBackend; agent: Agent }> {
    const { models, ...rest } = options;
    const backend = await this.backend(models === undefined ? {} : { models });
    return { backend, agent: await this.agent(backend, rest) };
  }

  /** POSTs JSON below the OpenAI base URL, with the API key. */
  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: "POST",
      body: typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body),
      ...init,
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json", ...init.headers },
    });
  }

  /** A chat completion, plain or streamed. */
  chat(extra: Record<string, unknown> = {}, init: RequestInit = {}): Promise<Response> {
    return this.post(
      "/chat/completions",
      { model: "test-model", messages: [{ role: "user", content: "hello" }], ...extra },
      init,
    );
  }

  /** Resolves once `holds` does; it is asked again whenever anything is logged or asks for a seat. Bounded. */
  when(holds: () => boolean, what: string | (() => string), ms?: number): Promise<void> {
    return this.#changes.when(holds, what, ms);
  }

  /** A logger whose lines are kept in `logs`. */
  log(part: string): Logger {
    const line =
      (level: string) =>
      (fields: object, message: string): void => {
        this.logs.push({ level, message, fields: { part, ...fields } });
        this.#changes.notify();
        // What is logged is often said in the middle of a change: look again when it is done.
        setImmediate(() => this.#changes.notify());
      };
    return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error"), fatal: line("fatal") };
  }

  /** True when no seat, place in the queue, stream or counted request is left anywhere. */
  get quiet(): boolean {
    const streams = [...this.pool.registry.workers].reduce((sum, worker) => sum + worker.upstream.streams, 0);
    return this.pool.inflight === 0 && this.pool.waiting === 0 && this.broker.drain.inflight === 0 && streams === 0;
  }

  /** Waits for `quiet`; then what the broker's own gauges still count, which is nothing when all is well. */
  async leftovers(): Promise<Record<string, number>> {
    await this.when(
      () => this.quiet,
      () =>
        `nothing is left (seats ${this.pool.inflight}, waiting ${this.pool.waiting}, counted in ${this.broker.drain.inflight})`,
    );
    await Promise.all([noneSpooled(), ...this.backends.map(backend => backend.idle())]);
    const response = await fetch(`${this.origin}/metrics`);
    const text = await response.text();
    if (!response.ok) throw new Error(`GET /metrics answered ${response.status}: ${text}`);
    const gauges =
      /^(nfrx_(?:request_inflight|queue_length|seats_taken|drainable_inflight|(?:buffered|spooled)_body_bytes|unhandled_errors_total)(?:\{.*\})?) (.+)$/gm;
    const left: Record<string, number> = {};
    for (const [, name = "", value] of text.matchAll(gauges)) if (Number(value) !== 0) left[name] = Number(value);
    return left;
  }

  /** Who comes in and who waits for a seat is not logged: this tells the tests that wait for it. */
  #tellOfSeats(): void {
    const { pool } = this;
    const { drain } = this.broker;
    const join = drain.join.bind(drain);
    drain.join = () => {
      setImmediate(() => this.#changes.notify());
      const leave = join();
      return () => {
        leave();
        this.#changes.notify();
      };
    };
    const acquire = pool.acquire.bind(pool);
    pool.acquire = wanted => {
      setImmediate(() => this.#changes.notify());
      return acquire(wanted);
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.agents.map(agent => agent.shutdown(0)));
    await this.broker.stop();
    await Promise.all([...this.backends.map(backend => backend.stop()), ...this.#runs]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
