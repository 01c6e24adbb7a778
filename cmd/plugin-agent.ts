// `nfrx worker --plugin FILE`: the agent of any module.
import { agentOptions } from "../src/config/agent.ts";
import { commonOptions } from "../src/config/common.ts";
import { readFlags } from "../src/config/flags.ts";
import { helpText, versionLine } from "../src/config/help.ts";
import { peek, processHost } from "../src/config/load.ts";
import { catalogOf, program } from "../src/config/program.ts";
import type { Host } from "../src/config/sources.ts";
import { messageOf } from "../src/lib/errors.ts";
import type { Module, ModuleAgent } from "../src/modules/module.ts";
import { type LoadedModule, loadModules, PluginError } from "../src/modules/plugin-files.ts";
import { anyPluginAgent, pluginAgentProgram, pluginWorkerOptions } from "./programs.ts";
import { orExit } from "./with-plugins.ts";
import { runWorker } from "./worker.ts";

/** True if the command line begins with `worker`. */
export function isAgent(argv: readonly string[]): boolean {
  return argv[2] === "worker";
}

/** Runs the agent of the plugin that the command line names, until a signal stops it. */
export async function runPluginAgent(argv: readonly string[]): Promise<never> {
  const host = { ...processHost(), argv: argv.slice(3) };
  const { agentProgram, module } = await orExit("nfrx worker", async () => {
    const file = peek(anyPluginAgent, pluginWorkerOptions.shape.plugin, host);
    if (file === undefined) {
      if (!asksForHelp(host)) throw new Error("no plugin given: name its file with --plugin or PLUGIN");
      process.stdout.write(
        readFlags(host.argv, catalogOf(anyHelp), anyHelp).print === "version"
          ? versionLine(anyHelp)
          : helpText(anyHelp, host),
      );
      process.exit(0);
    }
    const [loaded] = await loadModules([file]);
    if (loaded === undefined) throw new Error(`plugin ${file} was not loaded`);
    const module = withAgent(loaded);
    return { agentProgram: named(loaded.file, () => pluginAgentProgram(module)), module };
  });
  return runWorker(agentProgram, module, false, host);
}

function asksForHelp(host: Host): boolean {
  return readFlags(host.argv, catalogOf(anyPluginAgent), anyPluginAgent).print !== undefined;
}

/** Properties of every plugin agent. */
const anyHelp = program({
  ...anyPluginAgent,
  summary:
    "Runs the agent of a plugin. Name the plugin's file or folder with --plugin FILE or PLUGIN. With a plugin, --help also lists the plugin's options: nfrx worker --plugin ./rerank.ts --help",
  groups: { common: commonOptions, agent: agentOptions("<id>"), worker: pluginWorkerOptions },
});

/** The module, with the file name in its agent's errors. Throws if the module has no agent. */
function withAgent({ module, file }: LoadedModule): Module & { agent: ModuleAgent } {
  const { agent } = module;
  if (agent === undefined) throw new PluginError(file, `the module ${module.id} has no agent`);
  return { ...module, agent: { ...agent, backend: values => named(file, () => agent.backend(values)) } };
}

/** Calls a module; errors name its file. */
function named<T>(file: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw new PluginError(file, messageOf(error));
  }
}
