// The limit of open files: each connection is one, and at the limit nothing can be accepted.
import { readFileSync } from "node:fs";
import { type Finding, ok, warn } from "./findings.ts";

/** Recommended limit of open files: thousands of streams need a socket on each side. */
export const WANTED_DESCRIPTORS = 65_536;

/** The limit of a process, by default this one; undefined if it is unlimited or unreadable. */
function descriptorLimit(pid: number | "self" = "self"): number | undefined {
  try {
    const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
    const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

/** Judges the limit that programs of this user get here. */
export function* checkDescriptors(limit = descriptorLimit()): Generator<Finding> {
  if (limit === undefined) return;
  yield limit < WANTED_DESCRIPTORS
    ? warn(
        "files",
        `the limit is ${limit} open files, and each connection needs one: set LimitNOFILE=1048576 in the unit, or ulimit -n ${WANTED_DESCRIPTORS}`,
      )
    : ok("files", `the limit is ${limit} open files`);
}
