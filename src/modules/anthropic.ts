// Anthropic's Messages API, for backends that have it (vLLM, llama.cpp, Ollama, LiteLLM and others).
import type { PublicEndpoint } from "./module.ts";

const endpoint = (path: string, jobType: string, summary: string, events: boolean): PublicEndpoint => ({
  method: "POST",
  path: `/v1${path}`,
  backendPath: path,
  jobType,
  label: "json-model",
  events,
  errors: "anthropic",
  operation: { summary, responses: { 200: { description: "The backend's answer." } } },
});

export const anthropicEndpoints: readonly PublicEndpoint[] = [
  endpoint("/messages", "llm.message", "Create a message", true),
  endpoint("/messages/count_tokens", "llm.count", "Count the tokens of a message", false),
];
