// Ollama's own API, for its own clients: beside the backend's /v1, and answered in lines of JSON.
import { z } from "zod";
import { asText } from "../lib/bytes.ts";
import type { Gather, PublicEndpoint } from "./module.ts";
import * as operations from "./operations/ollama.ts";
import type { Operation } from "./route.ts";

/** What the paths of this API begin with, below the module's and on the wire. */
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
};

export const ollamaEndpoints: readonly PublicEndpoint[] = [
  endpoint("POST", "/api/chat", "llm.completion", operations.chatOperation),
  endpoint("POST", "/api/generate", "llm.completion", operations.generateOperation),
  endpoint("POST", "/api/embed", "llm.embedding", operations.embedOperation, { exact: true }),
  endpoint("POST", "/api/show", "llm.show", operations.showOperation),
  endpoint("GET", "/api/tags", "llm.list", operations.tagsOperation, { label: "none", gather: models }),
  endpoint("GET", "/api/ps", "llm.list", operations.psOperation, {
    label: "none",
    gather: models,
  }),
];
