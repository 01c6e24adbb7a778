// The broker and its agents as real processes: from source, or the compiled programs in $NFRX_DIST.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type BackendOptions, startBackend, type TestBackend } from "./backend/backend.ts";
import { BrokerProgram } from "./process/broker.ts";
import type { Module } from "./process/broker-state.ts";
import { type Env, Program, START_MS } from "./process/program.ts";
import { API_KEY, CLIENT_KEY } from "./world.ts";

const root = join(import.meta.dir, "..", "..");

/** A worker module → the option that names its agent's backend. */
const BACKEND: Readonly<Record<Module, string>> = {
  llm: "COMPLETION_BASE_URL",
  asr: "ASR_BASE_URL",
  docling: "DOC_BASE_URL",
};

/** How nfrx-mcp reaches a private MCP server: its address, or the command that starts it and speaks over stdio. */
export type McpProvider = { http: string } | { stdio: readonly [command: string, ...args: string[]] };

export interface StartOptions {
  /** Compiled programs in this folder; undefined runs the source. */
  dist?: string | undefined;
  /** A command that ends with becoming the one behind it: how the programs are started. */
  through?: readonly string[];
}

/** Processes of one test and their folder; all of it is gone when this is disposed of. */
export class Processes {
  readonly folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
  readonly all: Program[] = [];
  readonly backends: TestBackend[] = [];
  readonly #options: StartOptions;

  constructor(options: StartOptions = {}) {
    this.#options = { dist: process.env["NFRX_DIST"], ...options };
  }

  /** A backend of the test kit, in this process. */
  async backend(options: BackendOptions = {}): Promise<TestBackend> {
    const backend = await startBackend(options);
    this.backends.push(backend);
    return backend;
  }

  /** A broker that listens on a free port, or on PORT. */
  async broker(env: Env = {}): Promise<BrokerProgram> {
    const broker = new BrokerProgram("nfrx", this.command("nfrx"), this.#env({ ...BROKER, ...env }), this.folder);
    this.all.push(broker);
    const { port } = await broker.line(line => line.msg === "listening", "listens");
    broker.port = Number(port);
    if (env["TLS_CERT_FILE"] !== undefined) broker.scheme = "https";
    return broker;
  }

  /** An agent of a module in front of a backend, registered at the broker by the time this resolves. */
  async agent(
    broker: BrokerProgram,
    backend: { url: string },
    env: Env = {},
    module: Module = "llm",
  ): Promise<Program> {
    return this.#registered(broker, module, "worker_id", { [BACKEND[module]]: backend.url, ...env });
  }

  /** A relay in front of a private MCP server, registered at the broker by the time this resolves; its id is CLIENT_ID. */
  async relay(broker: BrokerProgram, provider: McpProvider, env: Env = {}): Promise<Program> {
    // A relay's connection has an id of its own, but the name that it is given.
    return this.#registered(broker, "mcp", "worker_name", { ...providerOptions(provider), MCP_OPEN: "true", ...env });
  }

  /** Starts an agent and waits until the broker names it in this field of its log. */
  async #registered(
    broker: BrokerProgram,
    module: Module | "mcp",
    field: "worker_id" | "worker_name",
    env: Env,
  ): Promise<Program> {
    const id = env["CLIENT_ID"] ?? `agent-${this.all.length}`;
    const from = broker.mark;
    const agent = this.start(`nfrx-${module}`, {
      SERVER_URL: broker.connectUrl(module),
      CLIENT_KEY,
      CLIENT_ID: id,
      CLIENT_NAME: id,
      ...env,
    });
    const registered = broker.line(
      line => line.msg === "worker registered" && line[field] === id,
      `registers ${id}`,
      START_MS,
      from,
    );
    const failed = agent.ended.then(({ code }) => {
      throw new Error(`${id} ended with ${code}\n${agent.tail}`);
    });
    // Whichever loses the race fails when the processes are ended.
    for (const late of [registered, failed]) late.catch(() => {});
    await Promise.race([registered, failed]);
    return agent;
  }

  /** Starts a program and waits for nothing. */
  start(name: string, env: Env = {}, args: readonly string[] = []): Program {
    const program = new Program(name, [...this.command(name), ...args], this.#env(env), this.folder);
    this.all.push(program);
    return program;
  }

  command(name: string): string[] {
    const { dist, through = [] } = this.#options;
    const own = dist ? [resolve(root, dist, name)] : [process.execPath, join(root, "cmd", `${name}.ts`)];
    return [...through, ...own];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map(program => program.kill()));
    await Promise.all(this.backends.map(backend => backend.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Nothing of the caller's environment but the path: no proxy, no settings, no config file in a home directory. */
  #env(env: Env): Env {
    const { folder } = this;
    return {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: folder,
      TMPDIR: folder,
      STATE_DIRECTORY: folder,
      LOG_FORMAT: "json",
      ...env,
    };
  }
}

/** What should not be there: whatever was printed that is no line of the log, and lines of errors. */
export function troubles({ all }: Processes): unknown[] {
  return all.flatMap(({ strays, lines }) => [...strays, ...lines.filter(line => /error|fatal/.test(line.level))]);
}

function providerOptions(provider: McpProvider): Env {
  if ("http" in provider) return { MCP_TRANSPORT_ORDER: "http", PROVIDER_URL: provider.http };
  const [command, ...args] = provider.stdio;
  return { MCP_TRANSPORT_ORDER: "stdio", MCP_STDIO_COMMAND: command, MCP_STDIO_ARGS: JSON.stringify(args) };
}

const BROKER: Env = {
  PORT: "0",
  HOST: "127.0.0.1",
  API_KEY,
  CLIENT_KEY,
  METRICS_OPEN: "true",
  START_GRACE: "0",
  MCP_ALLOW_OPEN: "true",
  // The usual one is that of every broker on this machine.
  CONTROL_SOCKET: "none",
};
