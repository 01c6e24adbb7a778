// The programs of the 0.9 series themselves, from the folder in NFRX_PEER, as processes of a test.
import { test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Changes } from "../kit/time/until.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

const peer = process.env["NFRX_PEER"];

/** A test that runs only where the old programs are. */
export const withPeer = test.skipIf(peer === undefined);

/** How long an old program may take to say something, on a busy machine. */
const SAY_MS = 30_000;

/** A program of the 0.9 series, with what it logs. */
export class OldProgram {
  output = "";
  /** Its home, where it looks for settings and leaves its files. */
  readonly home = mkdtempSync(join(tmpdir(), "nfrx-peer-"));
  readonly #changes = new Changes();
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;

  constructor(
    name: "nfrx" | "nfrx-llm" | "nfrx-asr" | "nfrx-docling" | "nfrx-mcp",
    env: Record<string, string>,
    args: readonly string[] = [],
  ) {
    this.#child = Bun.spawn([join(peer ?? "", name), ...args], {
      env: { HOME: this.home, NO_COLOR: "1", ...env },
      cwd: this.home,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) void this.#read(stream);
  }

  /** Resolves when the log has a line with these words, `n` of them. */
  logs(words: string, n = 1): Promise<void> {
    return this.#changes.when(
      () => this.output.split(words).length > n,
      () => `"${words}" in the log of the old program:\n${this.output.slice(-2_000)}`,
      SAY_MS,
    );
  }

  terminate(): void {
    this.#child.kill("SIGTERM");
  }

  get exited(): Promise<number> {
    return this.#child.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    rmSync(this.home, { recursive: true, force: true });
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      this.output += decoder.decode(bytes, { stream: true });
      this.#changes.notify();
    }
  }
}

/** A broker of the 0.9 series that listens on this port. */
export async function startOldBroker(port: number): Promise<OldProgram> {
  const broker = new OldProgram("nfrx", {
    PORT: String(port),
    METRICS_PORT: String(port),
    API_KEY,
    CLIENT_KEY,
    LOG_LEVEL: "info",
  });
  await listening(broker, port);
  return broker;
}

/** Resolves when an old broker takes connections, which is a moment after it logs that it starts. */
export async function listening(broker: OldProgram, port: number): Promise<void> {
  await broker.logs("server starting");
  for (let tries = 0; !(await connects(port)); tries++)
    if (tries > 10_000) throw new Error(`the old broker does not listen:\n${broker.output}`);
}

async function connects(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

/** A port that was free a moment ago. */
export function freePort(): number {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port = 0 } = server;
  server.stop(true);
  return port;
}
