// The example programs as processes, and brokers for them.
import { test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Events } from "../kit/http/events.ts";
import type { Env } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { Changes, eventually, until } from "../kit/time/until.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";
import { freePort, startOldBroker } from "../peer/old.ts";

const folder = join(import.meta.dir, "..", "..", "examples");
const typescript = join(folder, "typescript");
const python = process.env["NFRX_EXAMPLES_PYTHON"] ?? "python3";

/** How long an example may take for what a test waits for, on a busy machine. */
const WAIT_MS = 30_000;
export const LIMIT_MS = 60_000;

export type Name = "transfer" | "jobs-client" | "jobs-worker" | "secure-client" | "secure-worker" | "identity";

/** A way to run the examples. */
export interface Language {
  readonly name: string;
  command(example: Name): string[];
}

const pythonExamples: Language = {
  name: "Python",
  command: example => [python, join(folder, "python", `${example.replace("-", "_")}.py`)],
};

const bunExamples: Language = {
  name: "TypeScript",
  command: example => [process.execPath, join(typescript, `${example}.ts`)],
};

/** With Node itself where it knows types, else with tsx. */
export const nodeExamples: Language = {
  name: "TypeScript on Node",
  command: example => {
    const tsx = join(typescript, "node_modules", "tsx", "dist", "loader.mjs");
    return ["node", ...(nodeStripsTypes() ? [] : ["--import", tsx]), join(typescript, `${example}.ts`)];
  },
};

/** Those in C#, when they have been built: where there is no SDK they are left out, in CI too. */
const built = process.env["NFRX_EXAMPLES_DOTNET"];
const dotnetExamples: Language[] = built ? [{ name: "C#", command: example => ["dotnet", built, example] }] : [];

export const languages: readonly Language[] = [bunExamples, pythonExamples, ...dotnetExamples];

/** Every client with every worker. */
export const pairs: [string, Language, Language][] = languages.flatMap(client =>
  languages.map((worker): [string, Language, Language] => [`${client.name} with ${worker.name}`, client, worker]),
);

/** On the machine that checks everything, nothing may be missing. */
const required = process.env["CI"] === "true" || process.env["NFRX_EXAMPLES_PYTHON"] !== undefined;
const ready =
  existsSync(join(typescript, "node_modules", "pkijs")) &&
  answers(python, "-c", "import httpx, asn1crypto, cryptography");
/** A test that runs where the examples' packages are installed. */
export const withExamples = test.skipIf(!required && !ready);
export const withOpenssl = test.skipIf(!required && !(ready && answers("openssl", "version")));

function answers(...command: string[]): boolean {
  try {
    return Bun.spawnSync(command, { stdout: "ignore", stderr: "ignore" }).success;
  } catch {
    return false;
  }
}

function nodeStripsTypes(): boolean {
  return Bun.spawnSync(["node", "-p", "process.features.typescript ?? ''"]).stdout.toString().trim() === "strip";
}

/** One example as a process. */
export class Example {
  /** What it told people. */
  said = "";
  /** Resolves to the exit code when it has ended and all it printed has been read. */
  readonly ended: Promise<number | null>;
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #changes = new Changes();
  readonly #stdout: Promise<Uint8Array>;
  #running = true;

  constructor(
    readonly name: string,
    command: string[],
    env: Env,
    cwd: string,
  ) {
    this.#child = Bun.spawn(command, { env, cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    this.#stdout = new Response(this.#child.stdout).bytes();
    const heard = this.#hear(this.#child.stderr);
    this.ended = this.#child.exited.then(async () => {
      await Promise.all([heard, this.#stdout]);
      this.#running = false;
      this.#changes.notify();
      return this.#child.exitCode;
    });
  }

  /** Resolves to a line's match, from the first one on that there is. */
  async says(pattern: RegExp): Promise<string> {
    let found: RegExpExecArray | null = null;
    const look = (): boolean => {
      found = pattern.exec(this.said);
      if (found === null && !this.#running) throw new Error(`${this.name} ended without ${pattern}:\n${this.said}`);
      return found !== null;
    };
    await this.#changes.when(look, () => `${this.name} says ${pattern}:\n${this.said}`, WAIT_MS);
    const [all, part] = found!;
    return part ?? all;
  }

  /** Resolves when it has ended by itself. */
  end(): Promise<{ code: number | null; said: string; stdout: Uint8Array }> {
    const ended = async () => ({ code: await this.ended, said: this.said, stdout: await this.#stdout });
    return until(ended(), () => `${this.name} ends:\n${this.said}`, WAIT_MS);
  }

  signal(name: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    this.#child.kill(name);
  }

  async #hear(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      this.said += decoder.decode(bytes, { stream: true });
      this.#changes.notify();
    }
  }
}

/** A broker and the examples around it. */
export class Stage {
  readonly processes = new Processes();
  readonly #examples: Example[] = [];

  private constructor(
    /** The broker's address. */
    public origin: string,
    private readonly end: () => Promise<void>,
  ) {}

  /** Around a broker of ours. */
  static async ours(env: Env = {}): Promise<Stage> {
    const stage = new Stage("", async () => {});
    stage.origin = (await stage.processes.broker(env)).origin;
    return stage;
  }

  /** Around one of the 0.9 series. */
  static async old(): Promise<Stage> {
    const port = freePort();
    const broker = await startOldBroker(port);
    return new Stage(`http://127.0.0.1:${port}`, () => broker[Symbol.asyncDispose]());
  }

  /** A path in the folder of the test, where the examples run too. */
  path(name: string): string {
    return join(this.processes.folder, name);
  }

  /** A file with bytes that do not repeat. */
  async file(name: string, size: number): Promise<Uint8Array> {
    const bytes = Buffer.alloc(size);
    // getRandomValues fills 64 KiB at most.
    for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
    await Bun.write(this.path(name), bytes);
    return bytes;
  }

  /** Starts an example; `url` in the place of the broker's own address. */
  start(language: Language, example: Name, args: readonly string[], url = this.origin): Example {
    const env = {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: this.processes.folder,
      TMPDIR: this.processes.folder,
      NFRX_URL: url,
      ...(example.endsWith("worker") ? { CLIENT_KEY } : { API_KEY }),
    };
    const name = `${language.name} ${example}`;
    const started = new Example(name, [...language.command(example), ...args], env, this.processes.folder);
    this.#examples.push(started);
    return started;
  }

  /** Runs an example to its end. */
  run(language: Language, example: Name, args: readonly string[], url?: string) {
    return this.start(language, example, args, url).end();
  }

  /** Kills the broker and starts another one at its address, with what it left. */
  async restart(): Promise<void> {
    const { processes } = this;
    await Promise.all(processes.all.map(broker => broker.kill()));
    await processes.broker({ PORT: new URL(this.origin).port });
  }

  /** Resolves once there is such a file. */
  appears(name: string): Promise<void> {
    return eventually(() => existsSync(this.path(name)), `${name} is there`, WAIT_MS);
  }

  /** A call of the broker's API, as a client. */
  fetch(path: string, init: BunFetchRequestInit = {}): Promise<Response> {
    return fetch(this.origin + path, { keepalive: false, ...init, headers: { authorization: `Bearer ${API_KEY}` } });
  }

  async job(id: string): Promise<Record<string, unknown>> {
    return (await this.fetch(`/api/jobs/${id}`)).json() as Promise<Record<string, unknown>>;
  }

  /** The job once it has ended. */
  async ended(id: string): Promise<Record<string, unknown>> {
    const events = new Events(await this.fetch(`/api/jobs/${id}/events`));
    const { data } = await events.find(({ data }) => /"status":"(completed|failed|canceled)"/.test(data));
    await events.cancel();
    return JSON.parse(data);
  }

  /** A call with JSON, as a client or as a worker. */
  async post(path: string, key: string, body: object): Promise<Record<string, unknown>> {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const answer = await fetch(this.origin + path, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
      keepalive: false,
    });
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`);
    return answer.json() as Promise<Record<string, unknown>>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const example of this.#examples) example.signal("SIGKILL");
    await Promise.all(this.#examples.map(({ ended }) => ended));
    await this.end();
    await this.processes[Symbol.asyncDispose]();
  }
}

const old: [string, () => Promise<Stage>][] =
  process.env["NFRX_PEER"] === undefined ? [] : [["the broker of the 0.9 series", () => Stage.old()]];

/** What must work with every broker is tried with one of the 0.9 series, too, where its programs are. */
export const stages: [string, () => Promise<Stage>][] = [["our broker", () => Stage.ours()], ...old];
