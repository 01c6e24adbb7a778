// The program as a system service, as the packages and the README install it: user, unit, settings.
import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { CONFIG_DIRS } from "../src/config/paths.ts";
import type { Program } from "../src/config/program.ts";
import type { Host } from "../src/config/sources.ts";

/** The group that the services run as. */
const GROUP = "nfrx";
const UNIT_FOLDERS = ["/etc/systemd/system", "/usr/lib/systemd/system"];

/**
 * ID of the services' group; undefined if it does not exist or the user is not root, because only root can give it a
 * file.
 */
export function serviceGroup(groups = readIfThere("/etc/group"), user = process.getuid?.()): number | undefined {
  if (user !== 0) return undefined;
  const line = groups.split("\n").find(entry => entry.startsWith(`${GROUP}:`));
  const id = Number(line?.split(":")[2]);
  return Number.isInteger(id) ? id : undefined;
}

/** True if systemd has a unit for the program. */
export function hasUnit(name: string): boolean {
  return UNIT_FOLDERS.some(folder => existsSync(posix.join(folder, `${name}.service`)));
}

/** The process and settings of the service. */
export interface ServiceHost {
  readonly host: Host;
  /** Files that were added to the environment. */
  readonly files: readonly string[];
}

/**
 * The process with the settings of the unit: those of /etc/nfrx/*.env, unless the process has its own. So `doctor` and
 * `health` check what the service uses.
 */
export function asService(host: Host, { configFile }: Program): ServiceHost {
  if (host.platform !== "linux") return { host, files: [] };
  const names = configFile === "server.yaml" ? ["keys.env", "server.env"] : [configFile.replace(/\.yaml$/, ".env")];
  const found = names.flatMap(name => {
    const path = posix.join(CONFIG_DIRS.linux, name);
    try {
      const settings = parseEnvironment(host.readFile(path));
      return Object.keys(settings).length === 0 ? [] : [{ path, settings }];
    } catch {
      return []; // missing, or not readable
    }
  });
  const settings = Object.assign({}, ...found.map(one => one.settings), definedOf(host.env));
  return { host: { ...host, env: settings }, files: found.map(({ path }) => path) };
}

/** The lines of a file as systemd's EnvironmentFile= reads them: NAME=value, with quotes or without. */
export function parseEnvironment(text: string): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const [, name, raw = ""] = /^\s*([A-Za-z_]\w*)=(.*)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const value = raw.trim();
    settings[name] = /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value;
  }
  return settings;
}

const definedOf = (env: Host["env"]): Record<string, string> =>
  Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined));

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
