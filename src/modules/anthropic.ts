// Anthropic's Messages API, for backends that have it (vLLM, llama.cpp, Ollama, LiteLLM and others).

import type { PublicEndpoint } from "./module.ts";
import { countOperation, messageOperation } from "./operations/anthropic.ts";
import type { Operation } from "./route.ts";
import { messageStream } from "./streams/message.ts";

const endpoint = (path: string, jobType: string, operation: Operation, events: boolean): PublicEndpoint => ({
  method: "POST",
  path: `/v1${path}`,
  backendPath: path,
  jobType,
  label: "json-model",
  events,
  ...(events && { stream: messageStream }),
  needs: { since: { ollama: "0.14.0" } },
  errors: "anthropic",
  operation,
});

export const anthropicEndpoints: readonly PublicEndpoint[] = [
  endpoint("/messages", "llm.message", messageOperation, true),
  endpoint("/messages/count_tokens", "llm.count", countOperation, false),
];
