import { options, type Values } from "../config/group.ts";
import { option } from "../config/option.ts";
import { baseUrl } from "../config/values.ts";
import { joinUrl } from "../lib/join-url.ts";
import { defineModule } from "./define.ts";
import { doclingWatch } from "./docling-watch.ts";
import { type Backend, LOOK_MS, type PublicEndpoint, SLOW_REQUEST_TIMEOUT_MS, type WorkerModule } from "./module.ts";
import { healthOperation, pollOperation, resultOperation, workOperation } from "./operations/documents.ts";
import { poolSettings, queueOptions, timeoutOption } from "./pool-options.ts";
import type { Operation } from "./route.ts";

/** Additional headers of Docling servers. */
const DOCLING_HEADERS = ["x-tenant-id", "x-docling-*"];

const endpoint = (
  method: PublicEndpoint["method"],
  path: string,
  jobType: string,
  operation: Operation,
  task?: PublicEndpoint["task"],
): PublicEndpoint => ({
  method,
  path,
  backendPath: path,
  jobType,
  label: "none",
  events: false,
  // A task goes on after its request: it must not begin twice. To ask about one twice does no harm.
  repeatable: task !== "starts",
  headers: DOCLING_HEADERS,
  ...(task && { task }),
  operation,
});

/** Work on documents, at once and as a task. */
const work = (verb: "Convert" | "Chunk", path: string, jobType: string): PublicEndpoint[] =>
  (["source", "file"] as const).flatMap(body => [
    endpoint("POST", `${path}/${body}`, jobType, workOperation(verb, body, false)),
    endpoint("POST", `${path}/${body}/async`, jobType, workOperation(verb, body, true), "starts"),
  ]);

const convert = "/v1/convert";

/** Conversion of documents to text and structure, by Docling servers. */
export const docling: WorkerModule = {
  id: "docling",
  summary: "Conversion of documents to text and structure, by Docling servers.",
  listsModels: false,
  errors: "plain",
  requestTimeoutMs: SLOW_REQUEST_TIMEOUT_MS,
  endpoints: [
    ...work("Convert", convert, "docling.convert"),
    ...work("Chunk", "/v1/chunk/:chunker", "docling.chunk"),
    endpoint("POST", `${convert}/source/batch`, "docling.convert", workOperation("Convert", "batch", true), "starts"),
    {
      ...endpoint("GET", "/v1/status/poll/:task", "docling.status", pollOperation, "follows"),
      watch: doclingWatch,
    },
    endpoint("GET", "/v1/result/:task", "docling.result", resultOperation, "follows"),
    ...["/health", "/ready", "/version"].map(path => ({
      ...endpoint("GET", path, "docling.health", healthOperation(path)),
      exemptFromSlots: true,
    })),
  ],
};

/** The backend out of the agent's options. */
export function doclingBackend({ docBaseUrl, docApiKey }: Values<typeof doclingAgentOptions>): Backend {
  return {
    baseUrl: docBaseUrl,
    apiKey: docApiKey,
    keyHeader: "x-api-key",
    pollMs: LOOK_MS,
    facts: { backend_family: "docling" },
    probe: async ask => {
      await ask(joinUrl(docBaseUrl, "/health"));
      return { models: [], facts: {} };
    },
  };
}

/** The broker's options of this module. */
const doclingBrokerOptions = options("Module docling", {
  ...queueOptions("docling"),
  ...timeoutOption("docling", "1h"),
});

/** The agent's backend options. */
export const doclingAgentOptions = options("Backend", {
  docBaseUrl: option.url({
    env: "DOC_BASE_URL",
    default: "http://127.0.0.1:5001",
    rewrite: baseUrl,
    help: "Base URL of the Docling server, without /v1.",
  }),
  docApiKey: option.secret({ env: "DOC_API_KEY", default: undefined, help: "API key of the backend." }),
});

export const doclingModule = defineModule({
  id: docling.id,
  summary: docling.summary,
  options: doclingBrokerOptions,
  serve: ({ values }) => ({ worker: docling, pool: poolSettings(values) }),
  agent: { options: doclingAgentOptions, endpoints: docling.endpoints, backend: doclingBackend },
});
