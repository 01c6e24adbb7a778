// A fleet for the pictures: a real broker and real agents in this process, with a clock of their own.
import { builtIn } from "../../cmd/modules.ts";
import { relayAgent } from "../../src/agent/relay-agent.ts";
import type { Agent } from "../../src/agent/run.ts";
import { workerAgent } from "../../src/agent/worker-agent.ts";
import { Broker } from "../../src/broker/broker.ts";
import { brokerOptions } from "../../src/config/broker.ts";
import { defaultsOf } from "../../src/config/group.ts";
import { silentLog } from "../../src/lib/log.ts";
import { asrAgentOptions, asrBackend } from "../../src/modules/asr.ts";
import { llmAgentOptions, llmBackend } from "../../src/modules/llm.ts";
import { mcpAgentOptions } from "../../src/modules/mcp-provider.ts";
import type { Backend } from "../../src/modules/module.ts";
import { startBackend, type TestBackend } from "../../test/kit/backend/backend.ts";
import { JobsApi } from "../../test/kit/jobs/jobs.ts";
import { HttpTools } from "../../test/kit/mcp/tools-http.ts";
import { TestClock } from "../../test/kit/time/clock.ts";
import { eventually } from "../../test/kit/time/until.ts";
import { API_KEY, CLIENT_KEY } from "../../test/kit/world.ts";

const ADMIN_KEY = "demo-admin-key";

/** One machine of the fleet. */
export interface Machine {
  name: string;
  os: [name: string, version: string];
  family?: string;
  version: string;
  models: readonly string[];
  seats: number;
  batch?: number;
}

export class Fleet implements AsyncDisposable {
  readonly clock = new TestClock();
  readonly broker: Broker;
  readonly jobs: JobsApi;
  readonly backends = new Map<string, TestBackend>();
  readonly #agents: Agent[] = [];
  readonly #ends: (() => PromiseLike<void>)[] = [];

  constructor() {
    this.broker = Broker.start({
      values: {
        ...defaultsOf(brokerOptions),
        port: 0,
        host: "127.0.0.1",
        jobsStore: "memory",
        apiKey: API_KEY,
        clientKey: CLIENT_KEY,
        adminKey: ADMIN_KEY,
      },
      modules: builtIn.map(module => module.configure(defaultsOf(module.options))),
      log: silentLog,
      clock: this.clock,
    });
    this.jobs = new JobsApi(this.origin);
  }

  get origin(): string {
    return `http://127.0.0.1:${this.broker.port}`;
  }

  async worker(module: "llm" | "asr", machine: Machine): Promise<void> {
    const backend = await startBackend({ models: machine.models });
    this.backends.set(machine.name, backend);
    this.#ends.push(() => backend.stop());
    const facts = factsOf(machine);
    const of: Backend =
      module === "llm"
        ? llmBackend({
            ...defaultsOf(llmAgentOptions),
            completionBaseUrl: backend.url,
            embeddingBatchSize: machine.batch ?? 0,
          })
        : asrBackend({ ...defaultsOf(asrAgentOptions), asrBaseUrl: backend.url });
    await this.#start(
      workerAgent({
        ...this.#common(module, machine.name),
        backend: { ...of, facts: { ...of.facts, ...facts } },
        clientId: machine.name,
        maxConcurrency: machine.seats,
        requestTimeoutMs: 300_000,
      }),
    );
  }

  /** A relay in front of an MCP server of the test kit. */
  async relay(id: string): Promise<HttpTools> {
    const tools = await HttpTools.start();
    this.#ends.push(() => tools[Symbol.asyncDispose]());
    await this.#start(
      relayAgent({
        ...this.#common("mcp", id),
        id,
        provider: { ...defaultsOf(mcpAgentOptions), transportOrder: ["http"], providerUrl: tools.url },
      }),
    );
    return tools;
  }

  /** A request with the API key. */
  post(path: string, body: object): Promise<Response> {
    return fetch(`${this.origin}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    });
  }

  chat(model: string): Promise<Response> {
    return this.post("/api/llm/v1/chat/completions", { model, messages: [{ role: "user", content: "hello" }] });
  }

  transcribe(model: string): Promise<Response> {
    const body = new FormData();
    body.set("model", model);
    body.set("file", new Blob(["RIFF"]), "talk.wav");
    const headers = { authorization: `Bearer ${API_KEY}` };
    return fetch(`${this.origin}/api/asr/v1/audio/transcriptions`, { method: "POST", body, headers });
  }

  /** As the operator's button does. */
  async drain(id: string): Promise<void> {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` };
    const { ok } = await fetch(`${this.origin}/api/admin/llm/workers/${id}/drain`, { method: "POST", headers });
    if (!ok) throw new Error(`${id} cannot be drained`);
  }

  /** Lets time pass while everybody is heard of. */
  async pass(ms: number): Promise<void> {
    const connected = [
      ...this.broker.mounted.map(({ pool }) => pool),
      ...(this.broker.relays ? [this.broker.relays.pool] : []),
    ]
      .flatMap(pool => [...pool.registry.workers])
      .map(({ upstream: { stats } }) => ({ stats, before: stats.bytesIn }));
    this.clock.advance(ms);
    if (ms < 5000) return;
    await eventually(() => connected.every(({ stats, before }) => stats.bytesIn > before), "a word of every agent");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#agents.map(agent => agent.shutdown(0)));
    await this.broker.stop();
    for (const end of this.#ends) await end();
  }

  #common(module: string, name: string) {
    return {
      module,
      servers: [{ serverUrl: `${this.origin.replace("http", "ws")}/api/${module}/connect`, clientKey: CLIENT_KEY }],
      clientName: name,
      reconnect: false,
      log: silentLog,
      clock: this.clock,
    };
  }

  async #start(agent: Agent): Promise<void> {
    this.#agents.push(agent);
    void agent.run().catch(() => {});
    const pools = [...this.broker.mounted, ...(this.broker.relays ? [this.broker.relays] : [])].map(({ pool }) => pool);
    await eventually(() => pools.some(pool => pool.registry.get(agent.id) !== undefined), `${agent.name} registers`);
  }
}

function factsOf({ name, os, family, version }: Machine): Record<string, string> {
  return {
    hostname: `${name}.example`,
    os_name: os[0],
    os_version: os[1],
    backend_version: version,
    ...(family !== undefined && { backend_family: family }),
  };
}
