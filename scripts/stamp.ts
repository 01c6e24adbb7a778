// What a build says of itself.
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };

const root = join(import.meta.dir, "..");

export interface Stamp {
  readonly version: string;
  readonly sha: string;
  readonly date: string;
}

function git(...args: string[]): string | undefined {
  try {
    const done = Bun.spawnSync(["git", ...args], { cwd: root, stdout: "pipe", stderr: "ignore" });
    return done.exitCode === 0 ? done.stdout.toString().trim() : undefined;
  } catch {
    return undefined; // no git on this machine
  }
}

/** Same commit, same stamp: the date is the commit's, not the clock's. */
export function stamp(): Stamp {
  const { NFRX_SHA, SOURCE_DATE_EPOCH } = process.env;
  const head = git("rev-parse", "--short", "HEAD");
  const dirty = head !== undefined && git("status", "--porcelain") !== "" ? "-dirty" : "";
  const seconds = Number(SOURCE_DATE_EPOCH || git("log", "-1", "--format=%ct") || Math.floor(Date.now() / 1000));
  if (!Number.isInteger(seconds)) throw new Error(`SOURCE_DATE_EPOCH is not a number of seconds: ${SOURCE_DATE_EPOCH}`);
  return {
    version: packageJson.version,
    sha: NFRX_SHA || (head === undefined ? "unknown" : `${head}${dirty}`),
    date: new Date(seconds * 1000).toISOString().replace(".000Z", "Z"),
  };
}
