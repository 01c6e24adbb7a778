import { constants } from "node:os";
import { messageOf } from "./errors.ts";
import type { Logger } from "./log.ts";

/** Bun's limit of concurrent fetches per process is 256; only the environment at process start can raise it. */
const FETCH_LIMIT = "BUN_CONFIG_MAX_HTTP_REQUESTS";
const MANY_FETCHES = "65535";

/**
 * Restarts this program in the same process with the environment that an agent needs. Returns if that is already the
 * case or not possible. Keeps the name of the executable, which selects the program.
 */
export function raiseFetchLimit(name = process.argv0, args: readonly string[] = process.argv.slice(2)): void {
  if (process.env[FETCH_LIMIT] !== undefined || process.platform === "win32" || process.execve === undefined) return;
  const env = { ...process.env, [FETCH_LIMIT]: MANY_FETCHES };
  // A compiled program gets its own name as its first argument; `bun file.ts` needs the file there.
  const compiled = process.argv[1]?.startsWith("/$bunfs/") ?? false;
  // The built programs have --smol inside (scripts/build.ts).
  const again = compiled ? args : ["--smol", ...process.argv.slice(1)];
  try {
    process.execve(process.execPath, [name, ...again], env);
  } catch {
    // As where the file is there no more, or another program runs this one: then Bun's own limit has to do.
  }
}

/** Calls `first` on the first SIGTERM or SIGINT; the second exits immediately. */
export function onStopSignal(first: () => void): void {
  let stopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stopping) process.exit(128 + constants.signals[signal]);
      stopping = true;
      first();
    });
  }
}

/** Logs and counts unhandled errors instead of ending the process. */
export function installUnhandledHandlers(log: Logger, count: () => void = () => {}): void {
  const report = (error: unknown): void => {
    count();
    log.error({ error: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, "unhandled error");
  };
  process.on("unhandledRejection", report);
  process.on("uncaughtException", report);
}
