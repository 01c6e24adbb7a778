// Lines as one types them into a shell, run for real.
import { test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../time/until.ts";

const required = process.env["CI"] === "true";
/** A test that runs where there is curl. */
export const withCurl = test.skipIf(!required && Bun.which("curl") === null);

/** A shell in a folder of its own, with variables that hold from one line to the next. */
export class Shell implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "nfrx-shell-"));
  readonly #running = new Set<Bun.Subprocess>();

  constructor(private readonly vars: Record<string, string>) {}

  /** Sets a variable for the lines that follow. */
  set(name: string, value: unknown): void {
    this.vars[name] = String(value);
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  /** Runs a line to its end: what it printed. Rejects when it fails. */
  run(line: string): Promise<string> {
    return until(this.start(line).text(), line);
  }

  /** The same for a line that prints JSON. */
  async json(line: string): Promise<Record<string, unknown>> {
    return JSON.parse(await this.run(line));
  }

  /** Starts a line as with `&` behind it: what it prints, as it comes. Its end is an error when the line fails. */
  start(line: string): Response {
    const child = Bun.spawn(["sh", "-c", `exec ${line}`], {
      cwd: this.#folder,
      env: { PATH: process.env["PATH"] ?? "", ...this.vars },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#running.add(child);
    const printed = child.stdout.pipeThrough(
      new TransformStream({
        flush: async () => {
          const code = await child.exited;
          this.#running.delete(child);
          if (code !== 0) throw new Error(`ended with ${code}: ${line}`);
        },
      }),
    );
    return new Response(printed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#running) child.kill("SIGKILL");
    await Promise.all([...this.#running].map(({ exited }) => exited));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
