// Loads plugin files into the program.
import { brokerOptions } from "../src/config/broker.ts";
import { peek } from "../src/config/load.ts";
import { namesFile } from "../src/config/values.ts";
import { messageOf } from "../src/lib/errors.ts";
import { type LoadedModule, loadModules } from "../src/modules/plugin-files.ts";
import { builtIn } from "./modules.ts";
import { brokerProgram, nfrx } from "./programs.ts";

/** The broker with the plugins of PLUGINS. If a file cannot be used, prints one line and exits with 2. */
export async function withPlugins(): Promise<{ program: typeof nfrx; plugins: readonly LoadedModule[] }> {
  const files = peek(nfrx, brokerOptions.shape.plugins).filter(namesFile);
  if (files.length === 0) return { program: nfrx, plugins: [] };
  return orExit("nfrx", async () => {
    const plugins = await loadModules(files);
    let program = nfrx;
    plugins.forEach(({ file, module }, at) => {
      const modules = [...builtIn, ...plugins.slice(0, at).map(loaded => loaded.module)];
      if (modules.some(({ id }) => id === module.id) || module.id in nfrx.groups)
        throw new Error(`plugin ${file}: the id ${module.id} is taken by another module`);
      try {
        program = brokerProgram([...modules, module]);
      } catch (error) {
        throw new Error(`plugin ${file}: ${messageOf(error)}`, { cause: error });
      }
    });
    return { program, plugins };
  });
}

/** Returns the result of `work`. If it throws, prints the message and exits with 2. */
export async function orExit<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    process.stderr.write(`${name}: ${messageOf(error)}\n`);
    process.exit(2);
  }
}
