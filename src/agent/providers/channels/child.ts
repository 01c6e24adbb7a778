import { statSync } from "node:fs";
import { NfrxError, messageOf as reasonOf } from "../../../lib/errors.ts";
import type { Logger } from "../../../lib/log.ts";
import { type Clock, pause } from "../../../lib/time.ts";
import type { Channel, ChannelEvents, OpenChannel } from "./channel.ts";
import { environment } from "./environment.ts";
import { LineFramer, type Overlong } from "./framer.ts";
import { LastLines } from "./last-lines.ts";
import { MalformedMessage, readMessages } from "./message.ts";
import { killGroup, leaderGone } from "./process-group.ts";
import { RateLog } from "./rate-log.ts";

/** Maximum unsent data to a server that does not read its standard input, in bytes. Beyond it messages are refused. */
const STDIN_QUEUE_BYTES = 32 * 1024 * 1024;
/** Time in milliseconds for a server to exit after its standard input was closed. */
const STDIN_CLOSE_MS = 2_000;
/** Further time in milliseconds between SIGTERM and SIGKILL. */
const TERM_MS = 2_000;
/** Time in milliseconds to wait for the last output of a server that has exited. */
const LAST_OUTPUT_MS = 1_000;
/** Time in milliseconds to wait for the exit of a killed server. */
const KILL_MS = 5_000;

export interface ChildOptions {
  command: string;
  args: readonly string[];
  /** Added to the few variables that every program needs; the agent's own, which hold its keys, are not passed on. */
  env: Readonly<Record<string, string>>;
  /** Additional environment variables of the agent to pass on. */
  passEnv: readonly string[];
  workdir: string | undefined;
  /** Bytes of one line of its output. */
  lineBytes: number;
  clock: Clock;
  log: Logger;
}

/** Opens child processes, each the leader of a process group of its own. When this process exits, so do they. */
export function childOpener(options: ChildOptions): OpenChannel {
  const live = new Set<Channel>();
  const killAll = (): void => {
    for (const child of live) child.kill();
  };
  return events => {
    const child = new Child(options, {
      ...events,
      ended(reason) {
        live.delete(child);
        if (live.size === 0) process.off("exit", killAll);
        events.ended(reason);
      },
    });
    if (live.size === 0) process.on("exit", killAll);
    live.add(child);
    return child;
  };
}

type Server = Bun.Subprocess<"pipe", "pipe", "pipe">;

class Child implements Channel {
  readonly #process: Server;
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #writing = false;
  #ended = false;
  #closing: Promise<void> | undefined;
  /** Settles when reading may go on; undefined while it may. */
  #gate: PromiseWithResolvers<void> | undefined;
  #exited = false;
  readonly #lastLines = new LastLines();
  readonly #gone = Promise.withResolvers<void>();

  constructor(
    private readonly options: ChildOptions,
    private readonly events: ChannelEvents,
  ) {
    try {
      this.#process = Bun.spawn([options.command, ...options.args], {
        stdin: "pipe",
        stdout: "pipe",
        stderr: "pipe",
        env: environment(options),
        ...(options.workdir === undefined ? {} : { cwd: options.workdir }),
        // A separate process group, so that child processes of the server can be stopped with it.
        detached: true,
      });
    } catch (error) {
      const message = `cannot start the MCP server: ${folderTrouble(options.workdir) ?? reasonOf(error)}`;
      throw new NfrxError("upstream_error", message, { cause: error });
    }
    void this.#run();
  }

  send(line: string): void {
    if (this.#ended || this.#closing !== undefined) throw new NfrxError("upstream_error", "the MCP server has ended");
    const bytes = Buffer.from(`${line}\n`);
    if (this.#queued > 0 && this.#queued + bytes.length > STDIN_QUEUE_BYTES) {
      throw new NfrxError("overloaded", "the MCP server stopped reading its input", { retryAfterSeconds: 5 });
    }
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (!this.#writing) void this.#write();
  }

  pause(): void {
    if (!this.#exited) this.#gate ??= Promise.withResolvers();
  }

  resume(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  close(): Promise<void> {
    this.#closing ??= this.#shutDown();
    return this.#closing;
  }

  kill(): void {
    killGroup(this.#process, "SIGKILL");
  }

  async #run(): Promise<void> {
    const child = this.#process;
    const messages = this.#readMessages();
    const output = Promise.all([messages, this.#readLog()]);
    // A server that closed its output cannot respond any more, even if it still runs.
    void messages.then(() => this.close());
    await child.exited;
    this.#exited = true;
    // The rest of the pipe is limited: read it, however slow the client is.
    this.resume();
    await this.#within(LAST_OUTPUT_MS, output);
    this.#ended = true;
    this.events.ended(this.#reason());
    await leaderGone(child, this.options.clock);
    this.#gone.resolve();
  }

  async #readMessages(): Promise<void> {
    const log = new RateLog(this.options.clock, (fields, message) => this.options.log.warn(fields, message));
    const framer = new LineFramer(
      this.options.lineBytes,
      line => this.#line(line, log),
      line => this.#overlong(line),
    );
    await this.#read(this.#process.stdout, framer);
  }

  #line(line: string, log: RateLog): void {
    try {
      // Servers of 2025-03-26 can send batches.
      for (const message of readMessages(line).messages) this.events.message(message);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      log.line(line, "the MCP server wrote an invalid message");
    }
  }

  #overlong({ id, hasMethod, bytes }: Overlong): void {
    this.options.log.warn({ bytes, limit: this.options.lineBytes }, "the MCP server wrote a line that is too long");
    this.events.overlong(hasMethod ? undefined : id);
  }

  async #readLog(): Promise<void> {
    const log = new RateLog(this.options.clock, (fields, message) => this.options.log.info(fields, message));
    const take = (line: string): void => {
      this.#lastLines.add(line);
      log.line(line, "MCP server output");
    };
    const framer = new LineFramer(this.options.lineBytes, take, ({ bytes }) => take(`(a line of ${bytes} bytes)`));
    await this.#read(this.#process.stderr, framer, false);
  }

  async #read(stream: ReadableStream<Uint8Array>, framer: LineFramer, gated = true): Promise<void> {
    try {
      for await (const chunk of stream) {
        framer.push(chunk);
        if (gated && this.#gate !== undefined) await this.#gate.promise;
      }
      framer.end();
    } catch (error) {
      this.options.log.error({ error: reasonOf(error) }, "cannot read the output of the MCP server");
    }
  }

  async #write(): Promise<void> {
    this.#writing = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        await this.#process.stdin.write(next);
        // Settles when the pipe has taken it, which is as fast as the server reads.
        await this.#process.stdin.flush();
        this.#queued -= next.length;
      }
    } catch (error) {
      // The exit of the process follows and is reported instead.
      this.options.log.debug({ error: reasonOf(error) }, "the MCP server stopped reading");
    } finally {
      this.#writing = false;
    }
  }

  async #shutDown(): Promise<void> {
    const child = this.#process;
    this.resume();
    this.#queue.length = 0;
    void Promise.resolve(child.stdin.end()).catch(() => {});
    if (!(await this.#within(STDIN_CLOSE_MS, child.exited))) {
      killGroup(child, "SIGTERM");
      if (!(await this.#within(TERM_MS, child.exited))) killGroup(child, "SIGKILL");
    }
    await this.#within(KILL_MS, this.#gone.promise);
  }

  /** Whether something happens in time. */
  async #within(ms: number, what: Promise<unknown>): Promise<boolean> {
    const timeout = new AbortController();
    const happened = await Promise.race([
      what.then(() => true),
      pause(this.options.clock, ms, timeout.signal).then(() => false),
    ]);
    timeout.abort();
    return happened;
  }

  #reason(): string {
    const { exitCode, signalCode } = this.#process;
    const how = signalCode === null ? `with exit code ${exitCode}` : `by ${signalCode}`;
    const { text } = this.#lastLines;
    return `the MCP server ended ${how}${text === "" ? "" : `: ${text}`}`;
  }
}

/** Describes a problem of the working directory; the system's error names the program instead. */
function folderTrouble(folder: string | undefined): string | undefined {
  if (folder === undefined) return undefined;
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found === undefined) return `the working directory ${folder} (MCP_STDIO_WORKDIR) does not exist`;
  return found.isDirectory() ? undefined : `the working directory ${folder} (MCP_STDIO_WORKDIR) is not a directory`;
}
