// Which state of the source a build is of.
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };

const root = join(import.meta.dir, "..");

export interface Stamp {
  readonly version: string;
  readonly sha: string;
  /** Of the commit, so that the same commit has the same stamp; in seconds. */
  readonly epoch: number;
  readonly date: string;
}

/** What git answers; undefined when it fails or is missing. */
export function git(...args: string[]): string | undefined {
  try {
    const done = Bun.spawnSync(["git", ...args], { cwd: root, stdout: "pipe", stderr: "ignore" });
    return done.exitCode === 0 ? done.stdout.toString().trim() : undefined;
  } catch {
    return undefined; // no git on this machine
  }
}

/** The stamp of the checked-out source. $NFRX_VERSION, $NFRX_SHA and $SOURCE_DATE_EPOCH override what is found. */
export function stamp(env: NodeJS.ProcessEnv = process.env): Stamp {
  const head = git("rev-parse", "--short=12", "HEAD");
  const dirty = head !== undefined && git("status", "--porcelain") !== "" ? "-dirty" : "";
  const now = Math.floor(Date.now() / 1000);
  const epoch = Number(env["SOURCE_DATE_EPOCH"] || git("log", "-1", "--format=%ct") || now);
  if (!Number.isInteger(epoch)) throw new Error(`SOURCE_DATE_EPOCH is not a number of seconds: ${epoch}`);
  return {
    version: env["NFRX_VERSION"] || packageJson.version,
    sha: env["NFRX_SHA"] || (head === undefined ? "unknown" : `${head}${dirty}`),
    epoch,
    date: new Date(epoch * 1000).toISOString().replace(".000Z", "Z"),
  };
}
