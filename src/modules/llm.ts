import { options, type Values } from "../config/group.ts";
import { option } from "../config/option.ts";
import { defaultLogDir } from "../config/paths.ts";
import { baseUrl } from "../config/values.ts";

import { embeddingsFanout } from "./embeddings.ts";
import type { Backend, PoolSettings, WorkerModule } from "./module.ts";
import { probeOpenai } from "./openai.ts";

const HOUR = 3_600_000;

/** Chat, responses and embeddings of OpenAI-compatible servers. */
export const llm: WorkerModule = {
  id: "llm",
  listsModels: true,
  errors: "openai",
  endpoints: [
    { path: "/v1/chat/completions", backendPath: "/chat/completions", jobType: "llm.completion", events: true },
    { path: "/v1/responses", backendPath: "/responses", jobType: "llm.response", events: true },
    {
      path: "/v1/embeddings",
      backendPath: "/embeddings",
      jobType: "llm.embedding",
      events: false,
      fanout: embeddingsFanout,
    },
  ].map(endpoint => ({ method: "POST", label: "json-model", ...endpoint })),
};

/** The pool's settings out of the broker's options. */
export function llmPool(values: Values<typeof llmBrokerOptions>): PoolSettings {
  return {
    queueSize: values.queueSize,
    queueTimeoutMs: values.queueTimeoutMs,
    queueUpdateMs: values.queueUpdateMs,
    graceMs: values.workerGraceMs,
    minScore: values.minScore,
    maxParallel: values.maxParallelEmbeddings,
  };
}

/** The backend out of the agent's options. */
export function llmBackend(values: Values<typeof llmAgentOptions>): Backend {
  return {
    baseUrl: values.completionBaseUrl,
    apiKey: values.completionApiKey,
    pollMs: values.modelPollIntervalMs,
    facts: {
      ...(values.embeddingBatchSize > 0 && { embedding_batch_size: String(values.embeddingBatchSize) }),
      ...(values.completionAgentVersion !== undefined && { backend_version: values.completionAgentVersion }),
    },
    probe: fetchJson => probeOpenai(values.completionBaseUrl, values.apiStyle, fetchJson),
  };
}

/** What the broker can be told about this module. */
export const llmBrokerOptions = options("Module llm", {
  maxParallelEmbeddings: option.int({
    env: "LLM_MAX_PARALLEL_EMBEDDINGS",
    yaml: "plugin_options.llm.max_parallel_embeddings",
    default: 8,
    min: 1,
    max: 1024,
    help: "Workers that one embeddings request is split over at most.",
  }),
  queueSize: option.int({
    env: "LLM_QUEUE_SIZE",
    yaml: "plugin_options.llm.queue_size",
    default: 100,
    min: 0,
    max: 100_000,
    help: "Requests that wait for a worker at most; 0 turns the queue off.",
  }),
  queueUpdateMs: option.seconds({
    env: "LLM_QUEUE_UPDATE_SECONDS",
    yaml: "plugin_options.llm.queue_update_seconds",
    default: "10",
    max: HOUR,
    help: "How often a waiting stream hears of its place in the queue, in seconds; 0 sends no such events.",
  }),
  queueTimeoutMs: option.duration({
    env: "LLM_QUEUE_TIMEOUT",
    yaml: "plugin_options.llm.queue_timeout",
    default: "5m",
    min: 1,
    max: 24 * HOUR,
    help: "How long a request waits in the queue at most.",
  }),
  workerGraceMs: option.duration({
    env: "LLM_WORKER_GRACE",
    yaml: "plugin_options.llm.worker_grace",
    default: "10s",
    max: HOUR,
    help: "How long a request waits for a worker that has just gone before it is told that there is none.",
  }),
  minScore: option.number({
    env: "LLM_MIN_SCORE",
    yaml: "plugin_options.llm.min_score",
    default: 0.01,
    min: 0,
    max: 1,
    help: "How well a worker's model must match the requested one; 1 takes the exact model only.",
  }),
});

/** What the agent can be told about its backend. */
export const llmAgentOptions = options("Backend", {
  completionBaseUrl: option.url({
    env: "COMPLETION_BASE_URL",
    default: "http://127.0.0.1:11434/v1",
    rewrite: baseUrl,
    help: "OpenAI-compatible backend, with its /v1.",
  }),
  completionApiKey: option.secret({
    env: "COMPLETION_API_KEY",
    aliases: ["OLLAMA_API_KEY"],
    default: undefined,
    help: "Key of the backend.",
  }),
  completionAgentVersion: option.text({
    env: "COMPLETION_AGENT_VERSION",
    default: undefined,
    defaultNote: "asked of the backend",
    help: "Version of the backend as it is announced.",
  }),
  apiStyle: option.choice({
    env: "API_STYLE",
    values: ["openai", "ollama"],
    default: "openai",
    help: "How the backend is asked for its models: openai is GET /models, ollama is GET /api/tags beside the /v1.",
  }),
  embeddingBatchSize: option.int({
    env: "EMBEDDING_BATCH_SIZE",
    default: 0,
    min: 0,
    max: 100_000,
    help: "Inputs of an embeddings call that suit the backend best; 0 says nothing about it.",
  }),
  modelPollIntervalMs: option.duration({
    env: "MODEL_POLL_INTERVAL",
    default: "1m",
    min: 100,
    max: 24 * HOUR,
    help: "How often the backend is asked for its models; a changed list is announced at once.",
  }),
  logDir: option.text({
    env: "LOG_DIR",
    default: undefined,
    defaultOn: defaultLogDir,
    defaultNote: "none on Linux, ~/Library/Logs/nfrx on macOS, %ProgramData%\\nfrx\\Logs on Windows",
    help: "Directory of log files besides standard error.",
  }),
});
