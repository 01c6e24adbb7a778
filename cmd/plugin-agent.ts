// `nfrx worker --plugin FILE`: the agent of any module.
import { peek, processHost } from "../src/config/load.ts";
import { loadModules } from "../src/modules/load.ts";
import { orExit } from "./plugins.ts";
import { anyPluginAgent, pluginAgentProgram, pluginWorkerOptions } from "./programs.ts";
import { runWorker } from "./worker.ts";

/** True of a command line that begins with `worker`. */
export function isAgent(argv: readonly string[]): boolean {
  return argv[2] === "worker";
}

/** Runs the agent of the plugin that the command line names, until it is told to stop. */
export async function runPluginAgent(argv: readonly string[]): Promise<never> {
  const host = { ...processHost(), argv: argv.slice(3) };
  const { program, module } = await orExit("nfrx worker", async () => {
    const file = peek(anyPluginAgent, pluginWorkerOptions.shape.plugin, host);
    if (file === undefined) throw new Error("which plugin? Name its file with --plugin or PLUGIN");
    const [loaded] = await loadModules([file]);
    if (loaded === undefined) throw new Error(`plugin ${file}: it was not loaded`);
    const { agent } = loaded.module;
    if (agent === undefined) throw new Error(`plugin ${loaded.file}: the module ${loaded.module.id} has no agent`);
    return { program: pluginAgentProgram({ ...loaded.module, agent }), module: loaded.module };
  });
  return runWorker(program, module, false, host);
}
