// Ollama's own API, for its own clients: beside the backend's /v1, and answered in lines of JSON.
import { z } from "zod";
import { asText } from "../lib/bytes.ts";
import type { Gather, PublicEndpoint } from "./module.ts";

/** What the paths of this API begin with, below the module's and on the wire. */
export const OLLAMA_PREFIX = "/ollama";

const endpoint = (
  method: "GET" | "POST",
  path: string,
  jobType: string,
  summary: string,
  more: Partial<PublicEndpoint> = {},
): PublicEndpoint => ({
  method,
  path: OLLAMA_PREFIX + path,
  backendPath: OLLAMA_PREFIX + path,
  jobType,
  label: "json-model",
  // Lines of JSON leave no room for events of ours.
  events: false,
  errors: "ollama",
  tokens: "ollama",
  operation: { summary, responses: { 200: { description: "The backend's answer." } } },
  ...more,
});

const lists = z.object({ models: z.array(z.looseObject({ name: z.string() })).nullish() });

/** The models that any of the backends lists, each once. */
const models: Gather = {
  parse: answer => new Map((lists.parse(JSON.parse(asText(answer))).models ?? []).map(model => [model.name, model])),
  merge: items => Buffer.from(JSON.stringify({ models: [...items.values()] })),
};

export const ollamaEndpoints: readonly PublicEndpoint[] = [
  endpoint("POST", "/api/chat", "llm.completion", "Chat in Ollama's way"),
  endpoint("POST", "/api/generate", "llm.completion", "Complete a prompt in Ollama's way"),
  endpoint("POST", "/api/embed", "llm.embedding", "Create embeddings in Ollama's way"),
  endpoint("POST", "/api/show", "llm.show", "Describe a model in Ollama's way"),
  endpoint("GET", "/api/tags", "llm.list", "List the models of all Ollama backends", { label: "none", gather: models }),
  endpoint("GET", "/api/ps", "llm.list", "List the models that Ollama backends have loaded", {
    label: "none",
    gather: models,
  }),
];
