// One of our programs as a process, and its log.
import { readFileSync, writeFileSync } from "node:fs";
import { Changes, until } from "../time/until.ts";

/** How long a program may take to start, on a busy machine. */
export const START_MS = 30_000;
/** Log lines that are kept of one process. */
const KEPT_LINES = 50_000;

export type Env = Record<string, string>;

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
