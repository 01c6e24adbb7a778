// The five programs and their options. They are defined here because only cmd imports the modules.
import { commands } from "../src/broker/cli/run.ts";
import { agentOptions, workerObjections, workerOptions } from "../src/config/agent.ts";
import { brokerOptions } from "../src/config/broker.ts";
import { commonOptions } from "../src/config/common.ts";
import { type OptionGroup, options } from "../src/config/group.ts";
import { option } from "../src/config/option.ts";
import { type Program, program } from "../src/config/program.ts";
import { traceOptions } from "../src/config/traces.ts";
import { DATE, SHA, VERSION } from "../src/lib/version.ts";
import { asrAgentOptions } from "../src/modules/asr.ts";
import { doclingAgentOptions } from "../src/modules/docling.ts";
import { llmAgentOptions } from "../src/modules/llm.ts";
import { mcpAgentOptions } from "../src/modules/mcp-provider.ts";
import type { Module, ModuleAgent } from "../src/modules/module.ts";
import { builtIn } from "./modules.ts";

const PLUGIN_AGENT = "nfrx worker";
const build = { version: VERSION, sha: SHA, date: DATE };

type BrokerGroups = {
  readonly common: typeof commonOptions;
  readonly broker: typeof brokerOptions;
  readonly traces: ReturnType<typeof traceOptions>;
} & Readonly<Record<string, OptionGroup>>;

/** The broker, with the options of its modules. Throws if two options have the same name. */
export function brokerProgram(modules: readonly Module[]) {
  const groups: BrokerGroups = {
    common: commonOptions,
    broker: brokerOptions,
    ...Object.fromEntries(modules.map(({ id, options: own }) => [id, own])),
    traces: traceOptions("nfrx"),
  };
  return program({
    name: "nfrx",
    summary: "Broker that gives AI services on private machines one public, OpenAI-compatible address.",
    configFile: "server.yaml",
    groups,
    plugins: modules.map(({ id }) => id),
    commands: {
      demo: "Start a broker, an agent and a demo backend on this machine.",
      worker: "Run a plugin's agent: nfrx worker --plugin FILE (add --help to list its options).",
    },
    operatorCommands: commands,
    build,
  });
}

export const nfrx = brokerProgram(builtIn);

/** Additional options of a plugin's agent. */
export const pluginWorkerOptions = options(
  "Worker",
  {
    plugin: option.text({
      env: "PLUGIN",
      path: "file",
      default: undefined,
      help: "File or folder of the plugin whose agent to run.",
    }),
    ...workerOptions.shape,
  },
  workerObjections,
);

/** The agent of a plugin. */
export function pluginAgentProgram({ id, summary, agent }: Module & { agent: ModuleAgent }) {
  return program({
    name: PLUGIN_AGENT,
    summary: `Agent of the plugin ${id}. ${summary}`,
    configFile: `${id}.yaml`,
    groups: {
      common: commonOptions,
      agent: agentOptions(id),
      worker: pluginWorkerOptions,
      backend: agent.options,
      traces: traceOptions(`nfrx-${id}`),
    },
    build,
  });
}

/** The agent of a plugin before its file was read. */
export const anyPluginAgent = program({
  name: PLUGIN_AGENT,
  summary: "Agent of a plugin.",
  configFile: "plugin.yaml",
  groups: { worker: pluginWorkerOptions },
  build,
});

export const nfrxLlm = program({
  name: "nfrx-llm",
  summary: "Agent for a language model server: serves chat, responses and embeddings requests from a broker.",
  configFile: "worker.yaml",
  groups: {
    common: commonOptions,
    agent: agentOptions("llm"),
    worker: workerOptions,
    backend: llmAgentOptions,
    traces: traceOptions("nfrx-llm"),
  },
  build,
});

export const nfrxAsr = program({
  name: "nfrx-asr",
  summary: "Agent for a speech server: serves transcription and speech requests from a broker.",
  configFile: "asr.yaml",
  groups: {
    common: commonOptions,
    agent: agentOptions("asr"),
    worker: workerOptions,
    backend: asrAgentOptions,
    traces: traceOptions("nfrx-asr"),
  },
  build,
});

export const nfrxDocling = program({
  name: "nfrx-docling",
  summary: "Agent for a Docling server: serves document conversions from a broker.",
  configFile: "docling.yaml",
  groups: {
    common: commonOptions,
    agent: agentOptions("docling"),
    worker: workerOptions,
    backend: doclingAgentOptions,
    traces: traceOptions("nfrx-docling"),
  },
  build,
});

export const nfrxMcp = program({
  name: "nfrx-mcp",
  summary: "Relay for an MCP server: makes it reachable through a broker.",
  configFile: "mcp.yaml",
  groups: {
    common: commonOptions,
    agent: agentOptions("mcp"),
    provider: mcpAgentOptions,
    traces: traceOptions("nfrx-mcp"),
  },
  build,
});

export const programs: readonly Program[] = [nfrx, nfrxLlm, nfrxAsr, nfrxDocling, nfrxMcp];
