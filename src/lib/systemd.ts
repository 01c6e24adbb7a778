// Notifies systemd about a service: ready, status, watchdog.
import { messageOf } from "./errors.ts";
import type { Logger } from "./log.ts";
import { type Clock, every, systemClock } from "./time.ts";

/** The service manager. Without one, its methods do nothing. */
export interface ServiceManager {
  /** The program serves. From now on it feeds the watchdog and reports its status in one line. */
  ready(status: () => string): void;
  /** The program is stopping. */
  stopping(): void;
}

/** The environment of the process. */
export interface ServiceEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly clock: Clock;
  /** Called if the manager cannot be notified. */
  readonly onTrouble: (cause: string) => void;
  /** Sends one message; by default with libsystemd. Throws on failure. */
  readonly send?: (message: string) => void;
}

/** Interval between status updates in milliseconds, unless a watchdog needs a shorter one. */
const STATUS_MS = 10_000;

const nobody: ServiceManager = { ready() {}, stopping() {} };

/** The manager of `NOTIFY_SOCKET`. A watchdog (`WATCHDOG_USEC`) is notified three times per period. */
export async function serviceManager(service: ServiceEnvironment): Promise<ServiceManager> {
  const { env, pid, clock, onTrouble } = service;
  if (!env["NOTIFY_SOCKET"]) return nobody;
  let send: (message: string) => void;
  try {
    send = service.send ?? (await libsystemd());
  } catch (error) {
    onTrouble(messageOf(error));
    return nobody;
  }
  const tell = (...lines: string[]): void => {
    try {
      send(lines.join("\n"));
    } catch (error) {
      onTrouble(messageOf(error));
    }
  };
  const watched = !env["WATCHDOG_PID"] || Number(env["WATCHDOG_PID"]) === pid;
  const periodMs = watched ? Number(env["WATCHDOG_USEC"] ?? 0) / 1000 : 0;
  return {
    ready(status) {
      let last = oneLine(status());
      tell("READY=1", `STATUS=${last}`);
      every(clock, periodMs > 0 ? Math.min(periodMs / 3, STATUS_MS) : STATUS_MS, () => {
        const now = oneLine(status());
        const news = now === last ? [] : [`STATUS=${now}`];
        const life = periodMs > 0 ? ["WATCHDOG=1"] : [];
        last = now;
        if (news.length + life.length > 0) tell(...life, ...news);
      });
    },
    stopping: () => tell("STOPPING=1"),
  };
}

/** The manager of this process. */
export function serviceManagerOf(log: Logger): Promise<ServiceManager> {
  const onTrouble = (cause: string): void => log.warn({ cause }, "cannot notify the service manager");
  return serviceManager({ env: process.env, pid: process.pid, clock: systemClock, onTrouble });
}

const oneLine = (text: string): string => text.replace(/\s+/g, " ");

/** sd_notify of the library that every machine with systemd has: Bun has no datagrams on Unix sockets. */
async function libsystemd(): Promise<(message: string) => void> {
  const { dlopen, FFIType } = await import("bun:ffi");
  const { symbols } = dlopen("libsystemd.so.0", {
    sd_notify: { args: [FFIType.i32, FFIType.cstring], returns: FFIType.i32 },
  });
  return message => {
    const code = symbols.sd_notify(0, Buffer.from(`${message}\0`));
    if (code < 0) throw new Error(`sd_notify failed with errno ${-code}`);
  };
}
