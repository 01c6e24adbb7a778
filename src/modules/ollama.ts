// Ollama's own API, for its own clients: outside the backend's /v1, with responses in lines of JSON.
import { z } from "zod";
import { asText } from "../lib/bytes.ts";
import { NfrxError } from "../lib/errors.ts";
import type { Gather, PublicEndpoint } from "./module.ts";
import * as operations from "./operations/ollama.ts";
import type { ModuleRoute, Operation } from "./route.ts";

/** Path prefix of this API, below the module's path and on the wire. */
export const OLLAMA_PREFIX = "/ollama";

const endpoint = (
  method: "GET" | "POST",
  path: string,
  jobType: string,
  operation: Operation,
  more: Partial<PublicEndpoint> = {},
): PublicEndpoint => ({
  method,
  path: OLLAMA_PREFIX + path,
  backendPath: OLLAMA_PREFIX + path,
  jobType,
  label: "json-model",
  // Lines of JSON leave no room for events of ours.
  events: false,
  needs: { families: ["ollama"] },
  errors: "ollama",
  tokens: "ollama",
  operation,
  ...more,
});

const lists = z.object({ models: z.array(z.looseObject({ name: z.string() })).nullish() });

/** The models that any of the backends lists, each once. */
const models: Gather = {
  parse: answer => new Map((lists.parse(JSON.parse(asText(answer))).models ?? []).map(model => [model.name, model])),
  merge: items => Buffer.from(JSON.stringify({ models: [...items.values()] })),
  namesModels: true,
};

const version = z.object({ version: z.string() });

/** The lowest version of the backends, so that all of them support the clients' requests. */
const versions: Gather = {
  parse: answer => {
    const found = version.parse(JSON.parse(asText(answer)));
    return new Map([[found.version, found]]);
  },
  merge: items => {
    const [lowest] = [...items.keys()].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    if (lowest === undefined)
      throw new NfrxError("no_worker", "no connected worker has an Ollama backend", { temporary: true });
    return Buffer.from(JSON.stringify({ version: lowest }));
  },
};

/** Ollama's routes in OpenAI's way are below its base, too. */
const OPENAI_BELOW: ReadonlySet<string> = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/v1/responses",
  "/v1/images/generations",
]);

/** An endpoint, and the same below Ollama's base where its clients look for it. */
export function belowOllama(endpoint: PublicEndpoint): PublicEndpoint[] {
  return OPENAI_BELOW.has(endpoint.path)
    ? [endpoint, { ...endpoint, path: OLLAMA_PREFIX + endpoint.path, operation: atOllama(endpoint.operation) }]
    : [endpoint];
}

const RUNNING = "Ollama is running";

/** The first request of Ollama's clients: is a server there? HEAD gets the GET response without its body. */
export const ollamaRoutes: readonly ModuleRoute[] = [
  {
    method: "GET",
    path: `/api/llm${OLLAMA_PREFIX}`,
    orSlash: true,
    tag: "llm",
    auth: "api",
    errors: "ollama",
    operation: operations.runningOperation,
    answer: () => new Response(RUNNING, { headers: { "content-type": "text/plain; charset=utf-8" } }),
  },
];

export const ollamaEndpoints: readonly PublicEndpoint[] = [
  endpoint("POST", "/api/chat", "llm.completion", operations.chatOperation),
  endpoint("POST", "/api/generate", "llm.completion", operations.generateOperation),
  endpoint("POST", "/api/embed", "llm.embedding", operations.embedOperation, { exact: true }),
  endpoint("POST", "/api/embeddings", "llm.embedding", operations.embeddingsOperation, { exact: true }),
  endpoint("POST", "/api/show", "llm.show", operations.showOperation),
  endpoint("GET", "/api/tags", "llm.list", operations.tagsOperation, { label: "none", gather: models }),
  endpoint("GET", "/api/version", "llm.list", operations.versionOperation, { label: "none", gather: versions }),
  endpoint("GET", "/api/ps", "llm.list", operations.psOperation, {
    label: "none",
    gather: models,
  }),
];

/** The same operation at Ollama's base address. */
function atOllama(operation: Operation): Operation {
  return { ...operation, summary: `${operation.summary} (Ollama path)` };
}
