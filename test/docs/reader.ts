// Somebody who reads a page and pastes what stands in it into terminals: a folder, our programs on the PATH, private
// services for the agents.
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startBackend, type TestBackend } from "../kit/backend/backend.ts";
import { otherApis } from "../kit/backend/other-apis.ts";
import { HttpTools } from "../kit/mcp/tools-http.ts";
import { Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { until } from "../kit/time/until.ts";
import { freePort } from "../peer/old.ts";
import { type Block, root } from "./page.ts";

const PROGRAMS = ["nfrx", "nfrx-llm", "nfrx-asr", "nfrx-docling", "nfrx-mcp"];
/** How long one block may take, on a busy machine. */
const BLOCK_MS = 60_000;

export class Reader implements AsyncDisposable {
  readonly folder: string;
  /** What the pages' placeholders stand for here. */
  readonly placeholders = new Map<string, string>();
  readonly #processes = new Processes();
  readonly #services: Program[] = [];
  readonly #opened: { stop(): Promise<void> }[] = [];
  #env: Record<string, string> = {};

  static async start(): Promise<Reader> {
    const reader = new Reader();
    await reader.#open();
    return reader;
  }

  private constructor() {
    this.folder = this.#processes.folder;
    const bin = join(this.folder, "bin");
    mkdirSync(bin);
    const put = (name: string, command: string): void => {
      writeFileSync(join(bin, name), `#!/bin/sh\nexec ${command} "$@"\n`);
      chmodSync(join(bin, name), 0o755);
    };
    for (const name of PROGRAMS) put(name, this.#processes.command(name).map(quoted).join(" "));
    // A page's curl shows an answer of 401 and ends well; here it does not.
    put("curl", `${quoted(Bun.which("curl") ?? "curl")} --fail-with-body --no-progress-meter --max-time 60`);
    writeFileSync(join(this.folder, "report.pdf"), Buffer.alloc(300_000, "%PDF-1.7 not really\n"));
    writeFileSync(join(this.folder, "talk.mp3"), Buffer.alloc(10_000, "ID3"));
    symlinkSync(join(root, "node_modules"), join(this.folder, "node_modules"));
    const port = String(freePort());
    this.#env = {
      PATH: `${bin}:${process.env["PATH"] ?? "/usr/bin:/bin"}`,
      HOME: this.folder,
      TMPDIR: this.folder,
      STATE_DIRECTORY: this.folder,
      LOG_FORMAT: "json",
      HOST: "127.0.0.1",
      PORT: port,
    };
    this.#stands("https://your.host", `http://127.0.0.1:${port}`);
    this.#stands("wss://your.host", `ws://127.0.0.1:${port}`);
    this.#stands("http://localhost:8080", `http://127.0.0.1:${port}`);
    this.#stands("ws://localhost:8080", `ws://127.0.0.1:${port}`);
  }

  /** Runs a block of shell until it ends, or a service until it says that it serves; rejects when it fails. What it printed. */
  async run(block: Block): Promise<string> {
    const { page, line, service } = block;
    const text = this.fill(block.text);
    if (service) {
      const program = new Program(`${page}:${line}`, ["bash", "-c", text], this.#env, this.folder);
      this.#services.push(program);
      await program.line(({ msg }) => msg === "listening" || msg === "connected", "serves");
      return program.tail;
    }
    const kept = join(this.folder, "environment");
    const script = `set -euo pipefail\n${text}\nenv -0 >${quoted(kept)}`;
    const output = await this.#command(["bash", "-c", script], `${page}:${line}`);
    // What a block has exported holds in the blocks behind it.
    const pairs = readFileSync(kept, "utf8").split("\0").filter(Boolean);
    this.#env = Object.fromEntries(
      pairs.map(pair => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]),
    );
    return output;
  }

  /** Runs a block in another language, by the program that reads such files. */
  async script({ page, line, text }: Block, interpreter: string, ending: string): Promise<string> {
    const file = join(this.folder, `block-${line}.${ending}`);
    writeFileSync(file, this.fill(text));
    return this.#command([interpreter, file], `${page}:${line}`);
  }

  /** Ends the services, the last one first, as Ctrl-C does: how each of them ended. */
  async end(): Promise<(number | null)[]> {
    const codes: (number | null)[] = [];
    for (const service of this.#services.splice(0).reverse()) {
      service.signal("SIGINT");
      codes.push((await service.ending()).code);
    }
    return codes;
  }

  /** A text with the placeholders filled in. */
  fill(text: string): string {
    return [...this.placeholders].reduce((filled, [from, to]) => filled.replaceAll(from, to), text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#services.map(service => service.kill()));
    await Promise.all(this.#opened.map(one => one.stop()));
    await this.#processes[Symbol.asyncDispose]();
  }

  async #open(): Promise<void> {
    const llm = await this.#backend(["llama3:8b", "llama3.2:1b"]);
    llm.respond = otherApis(["Hello", " there"]);
    const asr = await this.#backend(["whisper-1"]);
    asr.respond = () => Response.json({ text: "spoken words" });
    const docling = await this.#backend([]);
    docling.respond = () => Response.json({ document: { md_content: "# written words" } });
    const tools = await HttpTools.start();
    this.#opened.push({ stop: async () => tools[Symbol.asyncDispose]() });
    this.#stands("http://127.0.0.1:11434/v1", `${llm.origin}/v1`);
    this.#stands("http://127.0.0.1:5002/v1", `${asr.origin}/v1`);
    this.#stands("http://127.0.0.1:5001", docling.origin);
    this.#stands("http://127.0.0.1:8000/mcp", tools.url);
  }

  async #backend(models: string[]): Promise<TestBackend> {
    const backend = await startBackend({ models });
    this.#opened.push(backend);
    return backend;
  }

  #stands(placeholder: string, real: string): void {
    this.placeholders.set(placeholder, real);
  }

  async #command(command: string[], what: string): Promise<string> {
    const child = Bun.spawn(command, {
      cwd: this.folder,
      env: this.#env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: BLOCK_MS,
    });
    const [out, complaint] = await until(
      Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]),
      what,
      BLOCK_MS,
    );
    if (child.exitCode !== 0) throw new Error(`${what} ended with ${child.exitCode}\n${out}\n${complaint}`);
    return out;
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
