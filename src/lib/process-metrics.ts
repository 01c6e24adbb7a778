// Process metrics of every program, with the names of Prometheus' client libraries.
import { readdirSync, readFileSync } from "node:fs";
import type { Meters } from "./series.ts";
import { every, systemClock, type Timer } from "./time.ts";

/** Interval between samples of the event loop lag, in milliseconds. */
const LAG_SAMPLE_MS = 100;
const LAGS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const;
const STARTED_AT = Date.now() / 1000 - performance.now() / 1000;

/** Declares the process metrics; `droppedLogs` returns the number of dropped log lines. */
export function declareProcess(meters: Meters, droppedLogs: () => number): void {
  const gauge = (name: string, help: string, read: () => number | undefined): void =>
    meters.gauge(name, help).read(set => {
      const value = read();
      if (value !== undefined) set({}, value);
    });
  meters
    .counter("nfrx_log_lines_dropped_total", "Log lines that could not be written.")
    .read(set => set({}, droppedLogs()));
  meters.counter("process_cpu_seconds_total", "Total CPU time, in seconds.").read(set => {
    const { user, system } = process.cpuUsage();
    set({}, (user + system) / 1e6);
  });
  gauge("process_start_time_seconds", "Start time of the process, in seconds since the epoch.", () => STARTED_AT);
  gauge("process_resident_memory_bytes", "Resident memory.", () => process.memoryUsage.rss());
  gauge("process_virtual_memory_bytes", "Virtual memory (Linux only); says little about actual use.", () =>
    onLinux("status", /^VmSize:\s+(\d+)/m, 1024),
  );
  gauge(
    "process_heap_bytes",
    "Memory of JavaScript objects, uncollected garbage included.",
    () => process.memoryUsage().heapUsed,
  );
  gauge("process_open_fds", "Open file descriptors (Linux only).", () =>
    process.platform === "linux" ? readdirSync("/proc/self/fd").length - 1 : undefined,
  );
  gauge("process_max_fds", "Limit of open file descriptors (Linux only).", () =>
    onLinux("limits", /^Max open files\s+(\d+)/m, 1),
  );
}

/** A number about this process from the kernel. */
function onLinux(file: string, pattern: RegExp, unit: number): number | undefined {
  if (process.platform !== "linux") return undefined;
  const found = pattern.exec(readFileSync(`/proc/self/${file}`, "utf8"))?.[1];
  return found === undefined ? undefined : Number(found) * unit;
}

/**
 * Declares the event loop lag and samples it once started. Unlike the runtime's own monitor, several readers can use it
 * without disturbing each other.
 */
export function declareLoopLag(meters: Meters): { start(): Timer } {
  const lags = meters.histogram("nfrx_event_loop_lag_seconds", "Event loop lag, sampled ten times a second.", LAGS);
  return {
    start() {
      const lag = lags.cell({});
      let due = systemClock.now() + LAG_SAMPLE_MS;
      return every(systemClock, LAG_SAMPLE_MS, () => {
        const now = systemClock.now();
        lag.observe(Math.max(0, now - due) / 1000);
        due = now + LAG_SAMPLE_MS;
      });
    },
  };
}
