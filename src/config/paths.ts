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

/** The directory that systemd gives for what a service keeps; it names several with colons. */
function givenStateDir(env: Machine["env"]): string | undefined {
  const [given] = (env["STATE_DIRECTORY"] ?? "").split(":");
  return given || undefined;
}

/** Where a program of an ordinary user keeps its state; undefined for root, and on macOS and Windows, where it is beside the configuration. */
function userStateDir({ platform, env }: Machine): string | undefined {
  const home = env["HOME"];
  if (platform === "win32" || platform === "darwin" || !home || home === "/" || home === "/root") return undefined;
  return posix.join(env["XDG_STATE_HOME"] || posix.join(home, ".local", "state"), "nfrx");
}

/**
 * Where an agent keeps its control token: in the directory that systemd gives, else beside the configuration file. An
 * ordinary user, who cannot write where the default configuration file is, has it in the state directory unless `isThere`
 * finds one beside the file.
 */
export function controlTokenDir(machine: Machine, configFile: string, isThere: () => boolean): string {
  const beside = (machine.platform === "win32" ? win32 : posix).dirname(configFile);
  const given = givenStateDir(machine.env);
  if (given !== undefined) return given;
  const own = beside === CONFIG_DIRS.linux ? userStateDir(machine) : undefined;
  return own === undefined || isThere() ? beside : own;
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
      return posix.join(givenStateDir(env) ?? userStateDir(machine) ?? "/var/lib/nfrx", "jobs.db");
    }
  }
}
