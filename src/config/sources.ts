// The sources of options other than the command line.
import { codeOf } from "../lib/errors.ts";
import type { Mistake } from "./error.ts";
import type { Machine } from "./option.ts";
import type { Catalog } from "./program.ts";
import type { ParsedSource, Setting } from "./setting.ts";
import { readYaml } from "./yaml.ts";

/** The parts of the process that the loader uses. */
export interface Host extends Machine {
  /** The arguments after the name of the program. */
  readonly argv: readonly string[];
  /** Reads a file; throws an error with `code` as node:fs does. */
  readonly readFile: (path: string) => string;
}

/** The configuration file of a run. */
export interface ConfigFile extends ParsedSource {
  readonly path: string;
  readonly found: boolean;
}

/** A named configuration file, and the source of the name. */
export function configPath({ env }: Host, flag: string | undefined): { path: string; by: string } | undefined {
  if (flag !== undefined) return { path: flag, by: "flag --config" };
  const path = env["CONFIG_FILE"]?.trim();
  return path ? { path, by: "environment variable CONFIG_FILE" } : undefined;
}

/** Reads the named file, else the default one, which is optional. */
export function readConfigFile(catalog: Catalog, host: Host, flag: string | undefined, fallback: string): ConfigFile {
  const named = configPath(host, flag);
  const path = named?.path ?? fallback;
  let text: string;
  try {
    text = host.readFile(path);
  } catch (error) {
    const code = codeOf(error);
    const missing = code === "ENOENT" || code === "ENOTDIR";
    if (missing && named === undefined) return { path, found: false, settings: [], mistakes: [] };
    const by = named?.by ?? "its default";
    const why = missing ? "does not exist" : `cannot be read: ${code || "unknown error"}`;
    const mistake: Mistake = {
      option: "CONFIG_FILE",
      value: path,
      source: { from: "file", path },
      text: `the configuration file ${path} ${why} (named by ${by})`,
    };
    return { path, found: false, settings: [], mistakes: [mistake] };
  }
  return { path, found: true, ...readYaml(path, text, catalog) };
}

/** Reads the environment. An empty variable counts as unset. */
export function readEnvironment({ options }: Catalog, { env }: Host): ParsedSource {
  const settings: Setting[] = [];
  for (const option of options) {
    const name = [option.env, ...option.aliases].find(candidate => env[candidate]?.trim());
    const raw = name === undefined ? undefined : env[name]?.trim();
    if (name !== undefined && raw !== undefined) {
      settings.push({ option, raw, source: { from: "environment", name } });
    }
  }
  return { settings, mistakes: [] };
}
