import { options, type Values } from "../config/group.ts";
import { option } from "../config/option.ts";
import { defaultLogDir } from "../config/paths.ts";
import { baseUrl } from "../config/values.ts";

import { anthropicEndpoints } from "./anthropic.ts";
import { azureEndpoints } from "./azure.ts";
import { defineModule } from "./define.ts";
import { embeddingsFanout } from "./embeddings.ts";
import { modelsOption } from "./models-option.ts";
import type { Backend, PublicEndpoint, WorkerModule } from "./module.ts";
import { belowOllama, OLLAMA_PREFIX, ollamaEndpoints, ollamaRoutes } from "./ollama.ts";
import { parentOfV1, probeOpenai } from "./openai.ts";
import {
  completionOperation,
  detokenizeOperation,
  imageEditOperation,
  imageOperation,
  imageVariationOperation,
  moderationOperation,
  rerankOperation,
  scoreOperation,
  tokenizeOperation,
} from "./operations/further.ts";
import { chatOperation, embeddingOperation, responseOperation } from "./operations/openai.ts";
import { eventOptions, matchOptions, poolSettings, queueOptions, timeoutOption } from "./pool-options.ts";
import { responseEndpoints, responseKeeps } from "./responses.ts";
import { chatStream, completionStream } from "./streams/chat.ts";
import { responseStream } from "./streams/response.ts";

const HOUR = 3_600_000;

/** Additional routes of some OpenAI-compatible servers. */
const others = [
  {
    name: "/completions",
    jobType: "llm.completion",
    events: true,
    stream: completionStream,
    operation: completionOperation,
  },
  { name: "/images/generations", jobType: "llm.image", events: true, operation: imageOperation },
  {
    name: "/images/edits",
    label: "form-model" as const,
    jobType: "llm.image",
    events: true,
    operation: imageEditOperation,
  },
  {
    name: "/images/variations",
    label: "form-model" as const,
    jobType: "llm.image",
    events: false,
    operation: imageVariationOperation,
  },
  { name: "/moderations", jobType: "llm.moderation", events: false, operation: moderationOperation },
  { name: "/rerank", jobType: "llm.rerank", events: false, operation: rerankOperation },
].map(({ name, ...rest }) => ({ path: `/v1${name}`, backendPath: name, ...rest }));

/** Additional routes of some servers outside /v1. */
const further = [
  { path: "/tokenize", jobType: "llm.tokenize", operation: tokenizeOperation },
  { path: "/detokenize", jobType: "llm.tokenize", operation: detokenizeOperation },
  { path: "/score", jobType: "llm.score", operation: scoreOperation },
  {
    path: "/rerank",
    jobType: "llm.rerank",
    operation: { ...rerankOperation, summary: `${rerankOperation.summary}, without /v1` },
  },
].map(endpoint => ({ backendPath: OLLAMA_PREFIX + endpoint.path, modelOptional: true, events: false, ...endpoint }));

/** Chat, responses and embeddings of OpenAI-compatible servers, and their further routes where a backend has them. */
export const llm: WorkerModule = {
  id: "llm",
  summary: "Chat, responses and embeddings, by OpenAI-compatible servers.",
  listsModels: true,
  modelsBelow: [OLLAMA_PREFIX],
  errors: "openai",
  endpoints: [
    {
      path: "/v1/chat/completions",
      backendPath: "/chat/completions",
      jobType: "llm.completion",
      events: true,
      stream: chatStream,
      operation: chatOperation,
    },
    {
      path: "/v1/responses",
      backendPath: "/responses",
      jobType: "llm.response",
      events: true,
      stream: responseStream,
      needs: { since: { ollama: "0.13.3" } },
      operation: responseOperation,
      keeps: responseKeeps,
    },
    {
      path: "/v1/embeddings",
      backendPath: "/embeddings",
      jobType: "llm.embedding",
      events: false,
      exact: true,
      fanout: embeddingsFanout,
      operation: embeddingOperation,
    },
    ...others,
    ...further,
  ]
    .map((endpoint): PublicEndpoint => ({ method: "POST", label: "json-model", ...endpoint }))
    .flatMap(belowOllama)
    .concat(responseEndpoints, azureEndpoints, anthropicEndpoints, ollamaEndpoints)
    // Models have no side effects by default; an endpoint that stores something declares it.
    .map(endpoint => ({ repeatable: true, ...endpoint })),
};

/** The backend out of the agent's options. */
export function llmBackend(values: Values<typeof llmAgentOptions>): Backend {
  return {
    baseUrl: values.completionBaseUrl,
    mounts: [{ prefix: OLLAMA_PREFIX, baseUrl: parentOfV1(values.completionBaseUrl) }],
    apiKey: values.completionApiKey,
    pollMs: values.modelPollIntervalMs,
    facts: {
      ...(values.embeddingBatchSize > 0 && { embedding_batch_size: String(values.embeddingBatchSize) }),
      ...(values.completionAgentVersion !== undefined && { backend_version: values.completionAgentVersion }),
    },
    probe: ask => probeOpenai(values.completionBaseUrl, { models: values.models, style: values.apiStyle }, ask),
  };
}

/** The broker's options of this module. */
export const llmBrokerOptions = options("Module llm", {
  maxParallel: option.int({
    env: "LLM_MAX_PARALLEL_EMBEDDINGS",
    yaml: "plugin_options.llm.max_parallel_embeddings",
    default: 8,
    min: 1,
    max: 1024,
    help: "Maximum number of workers over which one embeddings request is split.",
  }),
  ...queueOptions("llm"),
  ...timeoutOption("llm", "10m"),
  ...eventOptions("llm"),
  ...matchOptions("llm"),
});

/** The agent's backend options. */
export const llmAgentOptions = options("Backend", {
  completionBaseUrl: option.url({
    env: "COMPLETION_BASE_URL",
    default: "http://127.0.0.1:11434/v1",
    rewrite: baseUrl,
    help: "Base URL of the OpenAI-compatible backend, including /v1.",
  }),
  completionApiKey: option.secret({
    env: "COMPLETION_API_KEY",
    aliases: ["OLLAMA_API_KEY"],
    default: undefined,
    help: "API key of the backend.",
  }),
  completionAgentVersion: option.text({
    env: "COMPLETION_AGENT_VERSION",
    default: undefined,
    defaultNote: "reported by the backend",
    help: "Version of the backend to report.",
  }),
  apiStyle: option.choice({
    env: "API_STYLE",
    values: ["openai", "ollama"],
    default: "openai",
    help: "How to query the backend's models: openai is GET /models, ollama is GET /api/tags next to /v1.",
  }),
  ...modelsOption(),
  embeddingBatchSize: option.int({
    env: "EMBEDDING_BATCH_SIZE",
    default: 0,
    min: 0,
    max: 100_000,
    help: "Preferred number of inputs per embeddings request to this backend; 0 states no preference.",
  }),
  modelPollIntervalMs: option.duration({
    env: "MODEL_POLL_INTERVAL",
    default: "1m",
    min: 100,
    max: 24 * HOUR,
    help: "Interval for querying the backend's models. Changes are reported immediately.",
  }),
  logDir: option.text({
    env: "LOG_DIR",
    path: "folder",
    default: undefined,
    defaultOn: defaultLogDir,
    defaultNote: "none on Linux, ~/Library/Logs/nfrx on macOS, %ProgramData%\\nfrx\\Logs on Windows",
    help: "Directory for log files, in addition to standard error.",
  }),
});

export const llmModule = defineModule({
  id: llm.id,
  summary: llm.summary,
  options: llmBrokerOptions,
  serve: ({ values }) => ({ worker: llm, pool: poolSettings(values), routes: ollamaRoutes }),
  agent: { options: llmAgentOptions, endpoints: llm.endpoints, backend: llmBackend },
});
