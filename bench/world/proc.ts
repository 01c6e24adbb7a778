/** What the kernel says about a process and its descendants (Linux /proc; elsewhere the figures are missing). */
import { readFileSync, writeFileSync } from "node:fs";

/** USER_HZ: what /proc counts CPU time in; 100 on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** The process and everything below it: nginx's workers, or a binary that starts helpers. */
export function family(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`)?.trim() ?? "";
  return [pid, ...(children === "" ? [] : children.split(" ").flatMap(child => family(Number(child))))];
}

/** CPU seconds of all threads so far, user and system. */
export function cpuSeconds(pids: readonly number[]): number | null {
  let ticks = 0;
  for (const pid of pids) {
    const stat = read(`/proc/${pid}/stat`);
    if (stat === null) return null;
    // The name in parentheses may hold spaces; utime and stime are fields 14 and 15, the name is field 2.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_SECOND;
}

function statusMiB(pids: readonly number[], field: "VmRSS" | "VmHWM"): number | null {
  let kib = 0;
  for (const pid of pids) {
    const match = read(`/proc/${pid}/status`)?.match(new RegExp(`^${field}:\\s+(\\d+)`, "m"));
    if (!match) return null;
    kib += Number(match[1]);
  }
  return kib / 1024;
}

/** Resident memory now, in MiB. */
export const residentMiB = (pids: readonly number[]): number | null => statusMiB(pids, "VmRSS");

/** The highest resident memory since the start or the last `resetPeak`, in MiB. */
export const peakMiB = (pids: readonly number[]): number | null => statusMiB(pids, "VmHWM");

/** Starts the peak anew, where the kernel lets us. */
export function resetPeak(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
    } catch {
      // The peak then counts from the start of the process, which is an upper bound.
    }
  }
}
