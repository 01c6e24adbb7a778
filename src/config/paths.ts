import { posix, win32 } from "node:path";
import type { Machine } from "./option.ts";

const programData = ({ env }: Machine) => env["ProgramData"] || env["PROGRAMDATA"] || "C:\\ProgramData";

/** The configuration directory of each platform, for the documentation. */
export const CONFIG_DIRS = {
  linux: "/etc/nfrx",
  darwin: "~/Library/Application Support/nfrx",
  win32: "%ProgramData%\\nfrx",
} as const;

/** The default configuration file. */
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

/** The default directory of an agent's log files; undefined if the service manager stores the logs. */
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

/** The default directory for spooled uploads: on disk, which /tmp often is not. */
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

/** The service's directory from systemd, which separates several with colons. */
function givenStateDir(env: Machine["env"]): string | undefined {
  const [given] = (env["STATE_DIRECTORY"] ?? "").split(":");
  return given || undefined;
}

/**
 * The state directory of an ordinary user; undefined for root, and on macOS and Windows, where the configuration
 * directory is used.
 */
function userStateDir({ platform, env }: Machine): string | undefined {
  const home = env["HOME"];
  if (platform === "win32" || platform === "darwin" || !home || home === "/" || home === "/root") return undefined;
  return posix.join(env["XDG_STATE_HOME"] || posix.join(home, ".local", "state"), "nfrx");
}

/**
 * Path of an agent's control token: in systemd's directory, else next to the configuration file. An ordinary user, who
 * cannot write to the default configuration directory, has it in the state directory, unless `isThere` finds one next
 * to the file.
 */
export function controlTokenDir(machine: Machine, configFile: string, isThere: () => boolean): string {
  const folder = (machine.platform === "win32" ? win32 : posix).dirname(configFile);
  const given = givenStateDir(machine.env);
  if (given !== undefined) return given;
  const own = folder === CONFIG_DIRS.linux ? userStateDir(machine) : undefined;
  return own === undefined || isThere() ? folder : own;
}

/** The default jobs store: in systemd's directory, the system directory for root, else the user's state directory. */
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

/**
 * Where the control socket of a broker may be, the likeliest first: in the directory that systemd gives, in that of the user,
 * in the system's. On macOS the system's is first. Windows has none.
 */
export function controlSockets({ platform, env }: Machine): string[] {
  if (platform === "win32") return [];
  const [given] = (env["RUNTIME_DIRECTORY"] ?? "").split(":");
  const [user, home] = [env["XDG_RUNTIME_DIR"], env["HOME"]];
  const others =
    platform === "darwin"
      ? ["/var/run/nfrx", ...(home ? [posix.join(home, "Library", "Application Support", "nfrx")] : [])]
      : [...(user ? [posix.join(user, "nfrx")] : []), "/run/nfrx"];
  return [...(given ? [given] : []), ...others].map(folder => posix.join(folder, "nfrx.sock"));
}

/** Where the broker keeps keys, machines and the ledger when nobody says: beside its jobs. */
export function defaultPeopleFile(machine: Machine): string {
  const path = machine.platform === "win32" ? win32 : posix;
  return path.join(path.dirname(defaultJobsFile(machine)), "nfrx.db");
}
