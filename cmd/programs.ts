// The five binaries and what each of them can be told. They meet here, because only cmd knows the modules.
import { agentOptions, workerOptions } from "../src/config/agent.ts";
import { brokerOptions } from "../src/config/broker.ts";
import { commonOptions } from "../src/config/common.ts";
import { type Program, program } from "../src/config/program.ts";
import { traceOptions } from "../src/config/traces.ts";
import { DATE, SHA, VERSION } from "../src/lib/version.ts";
import { asrAgentOptions, asrBrokerOptions } from "../src/modules/asr.ts";
import { doclingAgentOptions, doclingBrokerOptions } from "../src/modules/docling.ts";
import { llmAgentOptions, llmBrokerOptions } from "../src/modules/llm.ts";
import { mcpAgentOptions, mcpBrokerOptions } from "../src/modules/mcp.ts";

const build = { version: VERSION, sha: SHA, date: DATE };

export const nfrx = program({
  name: "nfrx",
  summary: "The broker: one public, OpenAI-compatible address for AI services on private machines.",
  configFile: "server.yaml",
  groups: {
    common: commonOptions,
    broker: brokerOptions,
    llm: llmBrokerOptions,
    asr: asrBrokerOptions,
    docling: doclingBrokerOptions,
    mcp: mcpBrokerOptions,
    traces: traceOptions("nfrx"),
  },
  plugins: ["llm", "asr", "docling", "mcp"],
  commands: { demo: "Starts a broker with a demo backend and an agent, all on this machine." },
  build,
});

export const nfrxLlm = program({
  name: "nfrx-llm",
  summary: "The agent beside a language model server: serves a broker's chat, responses and embeddings requests.",
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
  summary: "The agent beside a transcription server: serves a broker's transcription requests.",
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
  summary: "The agent beside a Docling server: serves a broker's document conversions.",
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
  summary: "The relay beside an MCP server: makes it reachable through a broker.",
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
