import { readFileSync } from "node:fs";
import { cpus, freemem, hostname, release, totalmem, type } from "node:os";

/** Host information that an agent reports. */
export function hostFacts(): Record<string, string> {
  return { hostname: hostname(), os_name: type(), os_version: release() };
}

/** How busy the machine is, since the last look. */
export class HostLoad {
  #last = times();

  /** Percent of all cores together, 0 to 100. */
  cpuPercent(): number {
    const now = times();
    const total = now.total - this.#last.total;
    const idle = now.idle - this.#last.idle;
    this.#last = now;
    return total <= 0 ? 0 : round(100 * (1 - idle / total));
  }

  /** Memory in use, in percent; on Linux, reclaimable memory does not count as used. */
  ramPercent(): number {
    return round(100 * (1 - available() / totalmem()));
  }
}

function times(): { total: number; idle: number } {
  let total = 0;
  let idle = 0;
  for (const { times } of cpus()) {
    total += times.user + times.nice + times.sys + times.idle + times.irq;
    idle += times.idle;
  }
  return { total, idle };
}

function available(): number {
  if (process.platform !== "linux") return freemem();
  try {
    const kilobytes = /MemAvailable:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
    return kilobytes === undefined ? freemem() : Number(kilobytes) * 1024;
  } catch {
    return freemem();
  }
}

function round(percent: number): number {
  return Math.round(Math.min(100, Math.max(0, percent)) * 10) / 10;
}
