import { constants, openSync, writeSync } from "node:fs";
import { codeOf } from "./errors.ts";
import { LogFile, type LogTarget } from "./log-file.ts";
import { safeJson } from "./printable.ts";

/** The logger interface: fields, then a message that is constant for its kind. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  fatal(fields: object, message: string): void;
}

const LEVELS = ["debug", "info", "warn", "error", "fatal"] as const;
type Level = (typeof LEVELS)[number];

export type LogLevel = "all" | Level | "none";
export type LogFormat = "auto" | "json" | "pretty";

/** Maximum unsent log data when standard error is read slowly, in bytes; further lines are dropped and counted. */
const LOG_BUFFER_BYTES = 16 * 1024 * 1024;
/** Maximum delay of a log line, in milliseconds. */
const FLUSH_MS = 100;
/** Characters of lines that are written at once. */
const BATCH_CHARS = 64 * 1024;

export interface LogOptions {
  level: LogLevel;
  format: LogFormat;
  /** The program, on every line. */
  name: string;
  /** Writes the lines to `<name>.log` in this folder as well; it is rotated (see log-file.ts). */
  folder?: string | undefined;
}

/**
 * A structured logger on standard error: readable on a terminal, else one JSON object per line. Lines are written in
 * batches, and immediately from level `error` up and when the process ends.
 */
export function createLogger(options: LogOptions): { log: Logger; dropped: () => number; flush: () => void } {
  const people = options.format === "pretty" || (options.format === "auto" && process.stderr.isTTY);
  const sinks = [new LineSink(new Descriptor(standardError()))];
  if (options.folder !== undefined) sinks.push(new LineSink(new LogFile(options.folder, options.name)));
  const flush = (): void => {
    for (const sink of sinks) sink.flush();
  };
  process.on("exit", flush);
  const format = people ? prettyLine() : jsonLine(options.name);
  const lowest = options.level === "all" ? 0 : options.level === "none" ? LEVELS.length : LEVELS.indexOf(options.level);
  const method =
    (level: Level) =>
    (fields: object, message: string): void => {
      if (LEVELS.indexOf(level) < lowest) return;
      const line = format(level, fields, message);
      for (const sink of sinks) sink.write(line);
      if (people || level === "error" || level === "fatal") flush();
    };
  const log = {
    debug: method("debug"),
    info: method("info"),
    warn: method("warn"),
    error: method("error"),
    fatal: method("fatal"),
  };
  return { log, dropped: () => sinks.reduce((sum, sink) => sum + sink.dropped, 0), flush };
}

type LineFormat = (level: Level, fields: object, message: string) => string;

function jsonLine(name: string): LineFormat {
  const app = JSON.stringify(name);
  const time = isoTime();
  return (level, fields, message) => {
    const body = JSON.stringify(fields).slice(1, -1);
    return `{"level":"${level}","time":"${time()}","app":${app},${body === "" ? "" : `${body},`}"msg":${JSON.stringify(message)}}\n`;
  };
}

const COLOURS: Record<Level, number> = { debug: 90, info: 32, warn: 33, error: 31, fatal: 35 };

function prettyLine(): LineFormat {
  const time = isoTime();
  return (level, fields, message) => {
    const rest = Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `\x1b[90m${key}=\x1b[0m${JSON.stringify(value)}`);
    const word = `\x1b[${COLOURS[level]}m${level.toUpperCase().padEnd(5)}\x1b[0m`;
    return `${time().slice(11, 23)} ${word} ${[message, ...rest].join(" ")}\n`;
  };
}

/** The time of a line; formatting a date costs as much as all else about a line, and many share a millisecond. */
function isoTime(): () => string {
  let last = 0;
  let text = "";
  return () => {
    const now = Date.now();
    if (now !== last) {
      last = now;
      text = new Date(now).toISOString();
    }
    return text;
  };
}

/**
 * Standard error as a non-blocking descriptor, if possible. A pipe is reopened, because changing it in place would
 * affect other processes that share it.
 */
function standardError(): number {
  try {
    return openSync("/proc/self/fd/2", constants.O_WRONLY | constants.O_APPEND | constants.O_NONBLOCK);
  } catch {
    return 2;
  }
}

class Descriptor implements LogTarget {
  constructor(private readonly descriptor: number) {}

  write(lines: Uint8Array): number {
    return writeSync(this.descriptor, lines);
  }
}

/**
 * Collects lines and writes them in batches. If the reader is slow, up to LOG_BUFFER_BYTES wait; further lines are
 * dropped and counted, so that a slow reader never delays a request.
 */
class LineSink {
  dropped = 0;
  /** Lines of the current batch. */
  #lines = "";
  readonly #bytes = Buffer.allocUnsafe(BATCH_CHARS);
  /** Unsent data for a slow reader. */
  #rest: Buffer = EMPTY;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly target: LogTarget) {}

  write(line: string): void {
    if (this.#lines.length + line.length > BATCH_CHARS) {
      if (this.#rest.length > LOG_BUFFER_BYTES) {
        this.dropped++;
        return;
      }
      this.flush();
    }
    this.#lines += line;
    this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const lines = this.#lines;
    this.#lines = "";
    const bytes = this.#ascii(lines);
    // Beside DEL only text beyond ASCII holds characters that a terminal could obey, and such lines are rare.
    this.#send(bytes === undefined || bytes.includes(DEL) ? Buffer.from(safeJson(lines)) : bytes);
  }

  /** The bytes of lines of ASCII that are not too long. */
  #ascii(lines: string): Buffer | undefined {
    const { length } = lines;
    // All characters beyond ASCII take more than one byte.
    const ascii = length <= BATCH_CHARS && Buffer.byteLength(lines) === length;
    return ascii ? this.#bytes.subarray(0, this.#bytes.write(lines)) : undefined;
  }

  /** Writes as much as the reader accepts; the rest waits. */
  #send(lines: Buffer): void {
    let left = this.#rest.length === 0 ? lines : Buffer.concat([this.#rest, lines]);
    try {
      while (left.length > 0) left = left.subarray(this.target.write(left));
    } catch (error) {
      if (isFull(error)) this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
      else left = EMPTY; // the reader is gone; there is no other place to report it
    }
    this.#rest = left.length === 0 ? EMPTY : Buffer.from(left);
  }
}

const EMPTY = Buffer.alloc(0);
const DEL = 0x7f;

function isFull(error: unknown): boolean {
  return codeOf(error) === "EAGAIN";
}

/** A logger without output. */
export const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} };
