// The paths of Azure's SDK, which names the model as a deployment. The body's `model`, which it sends as well, decides.

import { embeddingsFanout } from "./embeddings.ts";
import type { PublicEndpoint } from "./module.ts";
import { chatOperation, embeddingOperation } from "./operations/openai.ts";
import type { Operation } from "./route.ts";
import { chatStream } from "./streams/chat.ts";

const BASE = "/openai/deployments/:model";

export const azureEndpoints: readonly PublicEndpoint[] = [
  {
    method: "POST",
    label: "json-model",
    path: `${BASE}/chat/completions`,
    backendPath: "/chat/completions",
    jobType: "llm.completion",
    events: true,
    stream: chatStream,
    operation: asDeployment(chatOperation),
  },
  {
    method: "POST",
    label: "json-model",
    path: `${BASE}/embeddings`,
    backendPath: "/embeddings",
    jobType: "llm.embedding",
    events: false,
    exact: true,
    fanout: embeddingsFanout,
    operation: asDeployment(embeddingOperation),
  },
];

function asDeployment(operation: Operation): Operation {
  return {
    ...operation,
    summary: `${operation.summary} (Azure deployment)`,
    parameters: [
      ...(operation.parameters ?? []),
      {
        name: "model",
        in: "path",
        description:
          "Deployment name. It is ignored: the `model` in the body selects the worker. Azure's SDKs send the same name in both.",
        example: "demo-echo",
      },
      {
        name: "api-version",
        in: "query",
        description: "Azure API version, as Azure's SDKs send it; any value is accepted.",
        example: "2024-10-21",
      },
    ],
  };
}
