// The fleet of the browser's tests: the programs as processes, three LLM workers, one ASR, one MCP relay, jobs that run.
import type { TestBackend } from "../kit/backend/backend.ts";
import { type ClaimView, JobsApi } from "../kit/jobs/jobs.ts";
import { McpSession } from "../kit/mcp/session.ts";
import { HttpTools } from "../kit/mcp/tools-http.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";

export const ADMIN_KEY = "test-admin-key";

/** Names of the LLM workers with the requests that each of them has served, none as many as another. */
export const SERVED: Readonly<Record<string, number>> = { anna: 2, berta: 7, clara: 4 };

export class BrowserFleet implements AsyncDisposable {
  readonly processes = new Processes();
  readonly backends = new Map<string, TestBackend>();
  /** What a backend that is held waits for. */
  readonly gate = new Gate();
  broker!: BrokerProgram;
  tools!: HttpTools;
  jobs!: JobsApi;
  /** A job that runs. */
  running!: ClaimView;

  static async start(): Promise<BrowserFleet> {
    const fleet = new BrowserFleet();
    const { processes } = fleet;
    fleet.broker = await processes.broker({ ADMIN_KEY, JOBS_STORE: "memory", JOBS_CLIENT_TTL: "0" });
    for (const [at, name] of Object.keys(SERVED).entries()) {
      const models = ["shared:8b", ...Array.from({ length: at * 3 + 1 }, (_, n) => `${name}-${n + 1}:1b`)];
      await fleet.worker(name, models);
    }
    await fleet.worker("dora", ["whisper-1"], "asr");
    fleet.tools = await HttpTools.start();
    await processes.relay(fleet.broker, { http: fleet.tools.url }, { CLIENT_ID: "weather" });
    for (const [name, times] of Object.entries(SERVED)) {
      for (let n = 0; n < times; n++) await fleet.chat(`${name}-1:1b`);
    }
    fleet.jobs = new JobsApi(fleet.broker.origin);
    await fleet.#work();
    const session = await McpSession.open(fleet.broker.relayUrl("weather"));
    await session.call("echo", { text: "hello" }).answer();
    session.call("hold", { name: "held" });
    await fleet.tools.called("hold", 1);
    return fleet;
  }

  /** An agent in front of a backend of its own. */
  async worker(name: string, models: readonly string[], module: "llm" | "asr" = "llm"): Promise<void> {
    const backend = await this.processes.backend({ models });
    this.backends.set(name, backend);
    await this.processes.agent(this.broker, backend, { CLIENT_ID: name, MAX_CONCURRENCY: "2" }, module);
  }

  backend(name: string): TestBackend {
    const backend = this.backends.get(name);
    if (backend === undefined) throw new Error(`no backend of ${name}`);
    return backend;
  }

  /** A chat completion from beginning to end; its status. */
  async chat(model: string): Promise<number> {
    const response = await this.broker.chat({ model });
    await response.arrayBuffer();
    return response.status;
  }

  /** One job that waits, one that runs, one that failed. */
  async #work(): Promise<void> {
    const { jobs } = this;
    const claim = { types: ["ocr"], worker_id: "scanner" };
    await jobs.created({ type: "ocr" });
    const failed = await jobs.claimed(claim);
    const error = { code: "bad_file", message: "not a document" };
    await jobs.status(failed.job_id, "failed", { claim_id: failed.claim_id, error });
    await jobs.created({ type: "ocr" });
    this.running = await jobs.claimed(claim);
    const { job_id, claim_id } = this.running;
    await jobs.status(job_id, "running", { claim_id, progress: { percent: 40 } });
    await jobs.created({ type: "speech" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.gate.open();
    await this.tools[Symbol.asyncDispose]();
    await this.processes[Symbol.asyncDispose]();
  }
}
