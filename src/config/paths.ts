import { posix, win32 } from "node:path";
import type { Machine } from "./option.ts";

const programData = ({ env }: Machine) => env["ProgramData"] || env["PROGRAMDATA"] || "C:\\ProgramData";

/** The directory of the configuration files, for the documentation of every platform. */
export const CONFIG_DIRS = {
  linux: "/etc/nfrx",
  darwin: "~/Library/Application Support/nfrx",
  win32: "%ProgramData%\\nfrx",
} as const;

/** Where a configuration file is looked for when nobody names one. */
export function defaultConfigFile(machine: Machine, file: string): string {
  switch (machine.platform) {
    case "win32":
      return win32.join(programData(machine), "nfrx", file);
    case "darwin":
      return posix.join(machine.env["HOME"] || "/var/root", "Library", "Application Support", "nfrx", file);
    default:
      return posix.join(CONFIG_DIRS.linux, file);
  }
}

/** Where an agent writes its log files when nobody says; undefined where the service manager keeps the logs. */
export function defaultLogDir(machine: Machine): string | undefined {
  switch (machine.platform) {
    case "win32":
      return win32.join(programData(machine), "nfrx", "Logs");
    case "darwin":
      return posix.join(machine.env["HOME"] || "/var/root", "Library", "Logs", "nfrx");
    default:
      return undefined;
  }
}

/** Where the broker keeps uploads for a while: on disk, which /tmp often is not. */
export function defaultSpoolDir({ platform, env }: Machine): string {
  switch (platform) {
    case "win32":
      return env["TEMP"] || env["TMP"] || "C:\\Windows\\Temp";
    case "darwin":
      return env["TMPDIR"] || "/tmp";
    default:
      return env["TMPDIR"] || "/var/tmp";
  }
}

/** Where the broker keeps its jobs when nobody says: in the directory that systemd gives, the system's for root, else the user's. */
export function defaultJobsFile(machine: Machine): string {
  const { platform, env } = machine;
  const home = env["HOME"];
  switch (platform) {
    case "win32":
      return win32.join(programData(machine), "nfrx", "jobs.db");
    case "darwin":
      return posix.join(home || "/var/root", "Library", "Application Support", "nfrx", "jobs.db");
    default: {
      // systemd names several with colons.
      const [given] = (env["STATE_DIRECTORY"] ?? "").split(":");
      if (given) return posix.join(given, "jobs.db");
      if (!home || home === "/" || home === "/root") return "/var/lib/nfrx/jobs.db";
      return posix.join(env["XDG_STATE_HOME"] || posix.join(home, ".local", "state"), "nfrx", "jobs.db");
    }
  }
}
