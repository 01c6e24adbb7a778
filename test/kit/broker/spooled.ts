// Uploads that wait on disk have no name there on Linux: only the process that holds them open shows them.
import { readdirSync, readlinkSync } from "node:fs";
import { eventually } from "../time/until.ts";

/** The spooled bodies that this process holds open. */
export function spooledFiles(): string[] {
  return readdirSync("/proc/self/fd").flatMap(fd => {
    const target = targetOf(fd);
    return target.includes("nfrx-upload-") ? [target] : [];
  });
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return ""; // closed while we looked
  }
}

/** Resolves when no spooled body is open any more: they are closed behind the request's back. */
export function noneSpooled(): Promise<void> {
  return eventually(
    () => process.platform !== "linux" || spooledFiles().length === 0,
    () => `closed files, of ${spooledFiles()}`,
  );
}
