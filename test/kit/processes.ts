// The broker and its agents as real processes: from source, or the compiled programs in $NFRX_DIST.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type BackendOptions, startBackend, type TestBackend } from "./backend/backend.ts";
import { Changes, until } from "./time/until.ts";
import { API_KEY, CLIENT_KEY } from "./world.ts";

const root = join(import.meta.dir, "..", "..");

/** How long a program may take to start, on a busy machine. */
const START_MS = 30_000;
/** Log lines that are kept of one process. */
const KEPT_LINES = 50_000;

export type Env = Record<string, string>;

/** A worker module → the option that names its agent's backend. */
const BACKEND = { llm: "COMPLETION_BASE_URL", asr: "ASR_BASE_URL", docling: "DOC_BASE_URL" } as const;
export type Module = keyof typeof BACKEND;
const MODULES: readonly Module[] = ["llm", "asr", "docling"];

/** How nfrx-mcp reaches a private MCP server: its address, or the command that starts it and speaks over stdio. */
export type McpProvider = { http: string } | { stdio: readonly [command: string, ...args: string[]] };

export interface StartOptions {
  /** Compiled programs in this folder; undefined runs the source. */
  dist?: string | undefined;
  /** A command that ends with becoming the one behind it: how the programs are started. */
  through?: readonly string[];
}

/** One line of a program's log. */
export interface LogEntry {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | number | null;
}

/** One of our programs as a process. */
export class Program {
  readonly lines: LogEntry[] = [];
  /** What was printed and is no line of the log: there should be none. */
  readonly strays: string[] = [];
  /** Resolves when the process has ended and all it printed has been read. */
  readonly ended: Promise<Ending>;
  readonly pid: number;
  running = true;

  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #changes = new Changes();
  /** Old lines of the log that are kept no longer. */
  #forgotten = 0;
  readonly #kill = (): void => this.#child.kill("SIGKILL");

  constructor(
    readonly name: string,
    command: readonly string[],
    env: Env,
    cwd: string,
  ) {
    this.#child = Bun.spawn([...command], { cwd, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    this.pid = this.#child.pid;
    process.once("exit", this.#kill);
    const printed = [
      this.#read(this.#child.stderr, line => this.#keep(line)),
      this.#read(this.#child.stdout, line => this.strays.push(line)),
    ];
    this.ended = this.#child.exited.then(async () => {
      process.off("exit", this.#kill);
      await Promise.all(printed);
      this.running = false;
      this.#changes.notify();
      return { code: this.#child.exitCode, signal: this.#child.signalCode };
    });
  }

  signal(name: "SIGTERM" | "SIGINT" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(name);
  }

  /** Ends the process, whatever it does, and waits for its end. */
  async kill(): Promise<void> {
    this.#child.kill("SIGCONT");
    this.#child.kill("SIGKILL");
    await until(this.ended, `${this.name} to end after SIGKILL`);
  }

  /** Waits for the process to end by itself. */
  ending(ms?: number): Promise<Ending> {
    return until(this.ended, () => `${this.name} to end\n${this.tail}`, ms);
  }

  /** Where the log stands: what `line` looks at from here on is what comes from now on. */
  get mark(): number {
    return this.#forgotten + this.lines.length;
  }

  /** The first line of the log, from a `mark` on, for which `holds` answers true; waits for it. Rejects when the process ends first. */
  async line(holds: (line: LogEntry) => boolean, what: string, ms = START_MS, from = 0): Promise<LogEntry> {
    let found: LogEntry | undefined;
    const look = (): boolean => {
      found = this.lines.slice(Math.max(0, from - this.#forgotten)).find(holds);
      if (found === undefined && !this.running) throw new Error(`${this.name} ended before ${what}\n${this.tail}`);
      return found !== undefined;
    };
    await this.#changes.when(look, () => `${this.name}: ${what}\n${this.tail}`, ms);
    if (found === undefined) throw new Error("a condition held and did not");
    return found;
  }

  /** Resolves once `holds` does; asked again after every line of the log. */
  when(holds: () => boolean, what: string, ms?: number): Promise<void> {
    return this.#changes.when(holds, () => `${this.name}: ${what}\n${this.tail}`, ms);
  }

  /** Resident memory now, in MiB. */
  get rss(): number {
    return this.#status("VmRSS");
  }

  /** The highest resident memory since `resetPeak`, in MiB. */
  get peak(): number {
    return this.#status("VmHWM");
  }

  /** Starts the peak anew. */
  resetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, "5");
  }

  /** The last words. */
  get tail(): string {
    return [...this.strays.slice(-20), ...this.lines.slice(-10).map(line => JSON.stringify(line))].join("\n");
  }

  #status(field: string): number {
    const kib = new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${this.pid}/status`, "utf8"))?.[1];
    if (kib === undefined) throw new Error(`no ${field} of ${this.name}`);
    return Number(kib) / 1024;
  }

  async #read(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of stream) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) take(line);
      this.#changes.notify();
    }
    if (rest !== "") take(rest);
  }

  #keep(line: string): void {
    const entry = parseLine(line);
    if (entry === undefined) this.strays.push(line);
    else if (this.lines.push(entry) > KEPT_LINES) this.#forgotten += this.lines.splice(0, KEPT_LINES / 2).length;
  }
}

/** A broker as a process. */
export class BrokerProgram extends Program {
  port = 0;
  scheme: "http" | "https" = "http";

  get origin(): string {
    return `${this.scheme}://127.0.0.1:${this.port}`;
  }

  /** The OpenAI base URL. */
  get url(): string {
    return `${this.origin}/api/llm/v1`;
  }

  /** Where a relay is reached. */
  relayUrl(id: string): string {
    return `${this.origin}/api/mcp/id/${id}`;
  }

  connectUrl(module: Module | "mcp" = "llm"): string {
    return `${this.origin.replace("http", "ws")}/api/${module}/connect`;
  }

  /** POSTs JSON below the OpenAI base URL, with the API key, on a connection of its own. */
  post(path: string, body: unknown, init: BunFetchRequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      keepalive: false,
      ...init,
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    });
  }

  chat(extra: Record<string, unknown> = {}, init: BunFetchRequestInit = {}): Promise<Response> {
    return this.post("/chat/completions", chatBody(extra), init);
  }

  /** The value of a metric without labels, or of one module's; NaN when there is none. */
  async metric(name: string, ext: Module | "mcp" = "llm"): Promise<number> {
    const text = await (await fetch(`${this.origin}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{ext="${ext}"\\})? (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);
  }

  /** Resolves once the broker's state, of which it sends events, is as `holds` wants it. */
  async state(holds: (state: BrokerState) => boolean, what: string, ms = START_MS): Promise<BrokerState> {
    const abort = new AbortController();
    let last: BrokerState | undefined;
    const read = async (): Promise<BrokerState> => {
      const response = await fetch(`${this.origin}/api/state/stream`, {
        headers: { authorization: `Bearer ${API_KEY}` },
        signal: abort.signal,
        keepalive: false,
      });
      let text = "";
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) {
        const events = (text + decoder.decode(chunk, { stream: true })).split("\n\n");
        text = events.pop() ?? "";
        for (const event of events) {
          last = stateOf(JSON.parse(event.slice("data: ".length)));
          if (holds(last)) return last;
        }
      }
      throw new Error(`the state ended before ${what}`);
    };
    try {
      return await until(read(), () => `${what}: ${JSON.stringify(last)}\n${this.tail}`, ms);
    } finally {
      abort.abort();
    }
  }

  /** Resolves once nothing is under way any more: no seat, no place in the queue, no counted request, no listener, no body held in memory or on disk, no open stream. */
  async quiet(ms?: number): Promise<void> {
    await this.state(
      ({ inflight, waiting, counted, slots, calls, listeners }) =>
        inflight + waiting + counted + slots + calls + listeners === 0,
      "a quiet broker",
      ms,
    );
    const response = await fetch(`${this.origin}/metrics`);
    const text = await response.text();
    if (!response.ok) throw new Error(`GET /metrics answered ${response.status}: ${text}\n${this.tail}`);
    const left = QUIET_METRICS.filter(name => {
      const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))];
      return values.length === 0 || values.some(([, value]) => value !== "0");
    });
    if (left.length > 0) throw new Error(`not at zero: ${left.join(", ")}`);
  }
}

/** Gauges that are at zero while nothing is under way. */
const QUIET_METRICS = [
  "nfrx_queue_length",
  "nfrx_seats_taken",
  "nfrx_drainable_inflight",
  "nfrx_buffered_body_bytes",
  "nfrx_spooled_body_bytes",
  "nfrx_tunnel_streams",
];

/** As much of the broker's state as the tests look at, all modules together. */
export interface BrokerState {
  /** Seats taken, as the pool counts them. */
  inflight: number;
  waiting: number;
  /** Requests that a shutdown would wait for. */
  counted: number;
  /** Seats taken, as the workers and relays count them. */
  slots: number;
  /** What is under way at relays, listening included. */
  calls: number;
  /** Requests that relays have beside their seats. */
  listeners: number;
  /** The summary of the jobs queue. */
  jobs: Record<"total_jobs" | "terminal_jobs", number>;
  workers: { id: string; status: string; inflight: number }[];
  relays: { id: string; ready: boolean; inflight: number; listeners: number }[];
}

type PoolState = {
  server: { jobs_inflight_total: number; scheduler_queue_len: number };
  workers: BrokerState["workers"];
};

type RelayState = { clients: BrokerState["relays"]; sessions: object[] };

function stateOf({
  plugins,
}: {
  plugins: {
    server: { drainable_inflight: number };
    jobs: { summary: BrokerState["jobs"] };
    mcp?: RelayState;
  } & Record<Module, PoolState | undefined>;
}): BrokerState {
  const pools = MODULES.map(module => plugins[module]).filter(pool => pool !== undefined);
  const { clients, sessions }: RelayState = plugins.mcp ?? { clients: [], sessions: [] };
  const sum = (read: (pool: PoolState) => number): number => pools.reduce((total, pool) => total + read(pool), 0);
  const total = (read: (relay: RelayState["clients"][number]) => number): number =>
    clients.reduce((so, relay) => so + read(relay), 0);
  return {
    inflight: sum(pool => pool.server.jobs_inflight_total),
    waiting: sum(pool => pool.server.scheduler_queue_len),
    counted: plugins.server.drainable_inflight,
    jobs: plugins.jobs.summary,
    slots:
      sum(pool => pool.workers.reduce((slots, worker) => slots + worker.inflight, 0)) + total(relay => relay.inflight),
    calls: sessions.length,
    listeners: total(relay => relay.listeners),
    relays: clients.map(({ id, ready, inflight, listeners }) => ({ id, ready, inflight, listeners })),
    workers: pools.flatMap(pool => pool.workers.map(({ id, status, inflight }) => ({ id, status, inflight }))),
  };
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
};

/** The body of a chat request. */
export function chatBody(extra: Record<string, unknown> = {}): Record<string, unknown> {
  return { model: "test-model", messages: [{ role: "user", content: "hello" }], ...extra };
}

/** The headers of a raw request with the API key. */
export const AUTHORIZED: Env = { authorization: `Bearer ${API_KEY}` };

/** A line of a JSON log; undefined for anything else. */
function parseLine(line: string): LogEntry | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== "object" || entry === null || !("level" in entry) || !("msg" in entry)) return undefined;
    return { ...entry, level: String(entry.level), msg: String(entry.msg) };
  } catch {
    return undefined;
  }
}
