// Modules out of files that are not part of this program.
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { plugin } from "bun";
import { messageOf } from "../lib/errors.ts";
import * as api from "./api.ts";
import { MODULE_API, type Module } from "./module.ts";

/** Time in milliseconds for a plugin file to load. */
const PLUGIN_LOAD_MS = 5_000;

/** The import name of the plugin interface, which is part of the running program. */
const SPECIFIER = "nfrx/plugin";

/** A module and the file it comes from. */
export interface LoadedModule {
  readonly module: Module;
  readonly file: string;
}

/** A plugin that cannot be used; the message names its file. */
export class PluginError extends Error {
  override readonly name = "PluginError";

  constructor(file: string, problem: string) {
    super(`plugin ${file}: ${problem}`);
  }
}

/** Loads `.ts` or `.js` files, or folders with an `index`. Throws a PluginError for the first that cannot be used. */
export async function loadModules(paths: readonly string[]): Promise<LoadedModule[]> {
  plugin({ name: "nfrx", setup: build => void build.module(SPECIFIER, () => ({ exports: api, loader: "object" })) });
  const loaded: LoadedModule[] = [];
  for (const path of paths) loaded.push(await loadModule(resolve(path)));
  return loaded;
}

async function loadModule(file: string): Promise<LoadedModule> {
  const watchman = await Watchman.over(file);
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => timeout.reject(new PluginError(file, SLOW)), PLUGIN_LOAD_MS);
  try {
    const found: { default?: unknown } = await Promise.race([import(entryOf(file)), timeout.promise]);
    return { module: checked(file, found.default), file };
  } catch (error) {
    if (error instanceof PluginError) throw error;
    throw new PluginError(file, `cannot load it: ${messageOf(error)}`);
  } finally {
    clearTimeout(timer);
    watchman.dismiss();
  }
}

const SLOW = `loading did not finish within ${PLUGIN_LOAD_MS / 1000} seconds`;

/** The file to import. Throws a PluginError when there is none. */
function entryOf(file: string): string {
  const kind = statSync(file, { throwIfNoEntry: false });
  if (kind === undefined) throw new PluginError(file, "file not found");
  if (!kind.isDirectory()) return file;
  const index = ["index.ts", "index.js"]
    .map(name => join(file, name))
    .find(path => statSync(path, { throwIfNoEntry: false })?.isFile());
  if (index === undefined) throw new PluginError(file, "the directory has neither index.ts nor index.js");
  return index;
}

function checked(file: string, value: unknown): Module {
  if (!isModule(value))
    throw new PluginError(file, "the default export is not a module: export the result of `defineModule`");
  if (value.api !== MODULE_API)
    throw new PluginError(
      file,
      `written for version ${value.api} of the plugin interface; this program has version ${MODULE_API}`,
    );
  return value;
}

/** True for a result of `defineModule`, recognized by its fields. */
function isModule(value: unknown): value is Module {
  if (typeof value !== "object" || value === null) return false;
  const has = (name: string, type: string): boolean => name in value && typeof Reflect.get(value, name) === type;
  return has("api", "number") && has("id", "string") && has("options", "object") && has("configure", "function");
}

/** Ends the process when a plugin does not return at all, which nothing on its own thread could do. */
class Watchman {
  private constructor(private readonly worker: Worker) {}

  static async over(file: string): Promise<Watchman> {
    const message = JSON.stringify(`nfrx: ${new PluginError(file, SLOW).message}\n`);
    const code = `setTimeout(() => {
  require("node:fs").writeSync(2, ${message});
  process.kill(process.pid, "SIGKILL");
}, ${PLUGIN_LOAD_MS + 2000});`;
    const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    await new Promise(resolve => worker.addEventListener("open", resolve));
    return new Watchman(worker);
  }

  dismiss(): void {
    this.worker.terminate();
  }
}
