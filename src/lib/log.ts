import { join } from "node:path";
import pino from "pino";
import pretty from "pino-pretty";

/** What the rest of the code needs of a logger; pino's own logger fits it. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  fatal(fields: object, message: string): void;
}

export type LogLevel = "all" | "debug" | "info" | "warn" | "error" | "fatal" | "none";
export type LogFormat = "auto" | "json" | "pretty";

/** Bytes of log lines that may wait for a slow reader of standard error; lines beyond are dropped and counted. */
export const LOG_BUFFER_BYTES = 16 * 1024 * 1024;
/** Milliseconds after which lines leave at the latest. */
const FLUSH_MS = 100;
const BATCH_BYTES = 8 * 1024;

export interface LogOptions {
  level: LogLevel;
  format: LogFormat;
  /** The program, on every line. */
  name: string;
  /** Writes the lines to `<name>.log` in this folder as well. */
  folder?: string | undefined;
}

/**
 * A structured logger on standard error: pretty on a terminal, else one JSON object a line. JSON lines are written in
 * batches, at once from level `error` up and when the process ends.
 */
export function createLogger(options: LogOptions): { log: Logger; dropped: () => number; flush: () => void } {
  const level = options.level === "all" ? "trace" : options.level === "none" ? "silent" : options.level;
  const settings: pino.LoggerOptions = {
    level,
    base: { app: options.name },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
  };
  const file =
    options.folder === undefined
      ? undefined
      : pino.destination({ dest: join(options.folder, `${options.name}.log`), mkdir: true, sync: false });
  const also = (stream: pino.DestinationStream): pino.DestinationStream =>
    file === undefined ? stream : pino.multistream([stream, file].map(target => ({ stream: target, level })));
  if (options.format === "pretty" || (options.format === "auto" && process.stderr.isTTY)) {
    const stream = pretty({ destination: 2, sync: true, ignore: "pid,hostname,app", translateTime: "SYS:HH:MM:ss.l" });
    return { log: pino(settings, also(stream)), dropped: () => 0, flush: () => file?.flushSync() };
  }
  let dropped = 0;
  const destination = pino.destination({ dest: 2, sync: false, minLength: BATCH_BYTES, maxLength: LOG_BUFFER_BYTES });
  destination.on("drop", () => {
    dropped++;
  });
  const flush = (): void => {
    try {
      destination.flushSync();
      file?.flushSync();
    } catch {
      // Nobody reads standard error any more; there is no other place to say so.
    }
  };
  setInterval(() => destination.flush(), FLUSH_MS).unref();
  process.on("exit", flush);
  return { log: urgent(pino(settings, also(destination)), flush), dropped: () => dropped, flush };
}

/** A logger whose errors are on paper before the next statement runs. */
function urgent(log: pino.Logger, flush: () => void): Logger {
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error(fields, message) {
      log.error(fields, message);
      flush();
    },
    fatal(fields, message) {
      log.fatal(fields, message);
      flush();
    },
  };
}

/** A logger that says nothing. */
export const silentLog: Logger = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} };
