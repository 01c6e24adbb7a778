/** Every process of the bench is started here and ends here. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { family } from "./proc.ts";

/** Descriptors a child may want; the hard limit caps it. */
const OPEN_FILES = "65536";
const TERM_MS = 3000;

export interface Child {
  name: string;
  pid: number;
  alive(): boolean;
  /** The last lines of its log. */
  log(): string;
  stop(): Promise<void>;
}

/** A child that is talked to by lines: our own scripts. */
export interface TalkingChild extends Child {
  lines: ReadableStream<Uint8Array>;
  say(line: string): void;
}

export class Children {
  /** Where the logs go. */
  readonly dir: string;
  #all = new Set<Child>();
  #count = 0;
  #closed = false;

  constructor(dir: string) {
    this.dir = dir;
  }

  /** Starts a program in the background, its output in a log file. */
  start(name: string, command: readonly string[], env: Record<string, string>): Child {
    const log = this.#logPath(name);
    const options = { cwd: this.dir, env: this.#env(env) };
    const file = Bun.file(log);
    return this.#adopt(
      name,
      log,
      Bun.spawn(limited(command), { ...options, stdin: "ignore", stdout: file, stderr: file }),
    );
  }

  /** Starts one of our own scripts with the current Bun; it ends with us because its stdin does. */
  talk(name: string, script: string): TalkingChild {
    const log = this.#logPath(name);
    const child = Bun.spawn(limited([process.execPath, join(import.meta.dir, "..", script)]), {
      cwd: this.dir,
      env: this.#env({}),
      stdin: "pipe",
      stdout: "pipe",
      stderr: Bun.file(log),
    });
    const say = (line: string): void => {
      child.stdin.write(`${line}\n`);
      child.stdin.flush();
    };
    return Object.assign(this.#adopt(name, log, child), { lines: child.stdout, say });
  }

  /** Runs a program to its end; returns what it wrote on stdout. */
  async run(name: string, command: readonly string[]): Promise<string> {
    const log = this.#logPath(name);
    const options = { cwd: this.dir, env: this.#env({}), stdin: "ignore", stdout: "pipe" } as const;
    const process = Bun.spawn(limited(command), { ...options, stderr: Bun.file(log) });
    const child = this.#adopt(name, log, process);
    const [output, code] = await Promise.all([process.stdout.text(), process.exited]);
    this.#all.delete(child);
    if (code !== 0) throw new Error(`${name} ended with ${code}: ${output.slice(-500)} ${child.log()}`);
    return output;
  }

  /** Stops whatever still runs. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#all].map(child => child.stop()));
  }

  /** Stops whatever still runs and lets nothing new begin: a workload may still be under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.stopAll();
  }

  /** The last resort, without waiting. */
  killAll(): void {
    for (const child of this.#all) killEach(family(child.pid));
  }

  #adopt(name: string, log: string, process: Subprocess): Child {
    const stop = async (): Promise<void> => {
      const all = family(process.pid);
      process.kill("SIGTERM");
      // A killed nginx master leaves its workers behind, so the whole family is killed.
      const timer = setTimeout(() => killEach(all), TERM_MS);
      await process.exited;
      clearTimeout(timer);
      this.#all.delete(child);
    };
    const child: Child = {
      name,
      pid: process.pid,
      alive: () => process.exitCode === null && process.signalCode === null,
      log: () => tail(log),
      stop,
    };
    this.#all.add(child);
    return child;
  }

  #logPath(name: string): string {
    if (this.#closed) throw new Error("the bench is ending");
    return join(this.dir, `${++this.#count}-${name.replaceAll(/[^a-z0-9-]+/gi, "-")}.log`);
  }

  /** Nothing of the caller's environment but the path: no proxy, no NFRX setting, no config file in a home directory. */
  #env(env: Record<string, string>): Record<string, string> {
    return { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: this.dir, TMPDIR: this.dir, ...env };
  }
}

function killEach(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Already gone.
    }
  }
}

/** The same command with as many open files as are allowed; `exec` keeps the process id. */
function limited(command: readonly string[]): string[] {
  if (process.platform === "win32") return [...command];
  const script = 'ulimit -n "$0" 2>/dev/null || ulimit -n "$(ulimit -H -n)" 2>/dev/null; exec "$@"';
  return ["/bin/sh", "-c", script, OPEN_FILES, ...command];
}

function tail(path: string): string {
  try {
    return readFileSync(path, "utf8").slice(-1500).trim();
  } catch {
    return "";
  }
}
