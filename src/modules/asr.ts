import { z } from "zod";
import { options, type Values } from "../config/group.ts";
import { option } from "../config/option.ts";
import { baseUrl } from "../config/values.ts";
import { asText } from "../lib/bytes.ts";
import { defineModule } from "./define.ts";
import { modelsOption } from "./models-option.ts";
import { type Backend, type Gather, LOOK_MS, SLOW_REQUEST_TIMEOUT_MS, type WorkerModule } from "./module.ts";
import { openaiModels } from "./openai.ts";
import {
  audioModelsOperation,
  speechOperation,
  transcriptionOperation,
  translationOperation,
  voicesOperation,
} from "./operations/audio.ts";
import { eventOptions, matchOptions, poolSettings, queueOptions, timeoutOption } from "./pool-options.ts";
import { transcriptStream } from "./streams/transcript.ts";

const named = z.union([z.string(), z.looseObject({}).refine(item => nameOf(item) !== undefined)]);

/** The name of a list entry. */
function nameOf(item: string | Record<string, unknown>): string | undefined {
  if (typeof item === "string") return item;
  return [item["id"], item["voice_id"], item["name"]].find(name => typeof name === "string");
}

/** A list that servers with voices have, of all backends that have it, each entry once. */
function listed(name: "voices" | "models") {
  const list = z.union([z.array(named), z.looseObject({ [name]: z.array(named) }).transform(found => found[name])]);
  const gather: Gather = {
    parse: answer => {
      const entries = z.array(named).parse(list.parse(JSON.parse(asText(answer))));
      return new Map(entries.map(entry => [nameOf(entry) ?? "", entry]));
    },
    merge: items => Buffer.from(JSON.stringify({ [name]: [...items.values()] })),
  };
  return { name, method: "GET" as const, jobType: "asr.list", label: "none" as const, events: false, gather };
}

/** Speech to text and text to speech, by servers with OpenAI's audio API. */
export const asr: WorkerModule = {
  id: "asr",
  summary: "Speech to text and text to speech, by servers with OpenAI's audio API.",
  listsModels: true,
  errors: "openai",
  requestTimeoutMs: SLOW_REQUEST_TIMEOUT_MS,
  endpoints: [
    {
      name: "transcriptions",
      jobType: "asr.transcribe",
      label: "form-model" as const,
      modelOptional: true,
      events: true,
      stream: transcriptStream,
      operation: transcriptionOperation,
    },
    {
      name: "translations",
      jobType: "asr.translate",
      label: "form-model" as const,
      modelOptional: true,
      events: true,
      stream: transcriptStream,
      operation: translationOperation,
    },
    { name: "speech", jobType: "asr.speak", label: "json-model" as const, events: false, operation: speechOperation },
    { ...listed("voices"), operation: voicesOperation },
    { ...listed("models"), operation: audioModelsOperation },
  ].map(({ name, ...rest }) => ({
    method: "POST" as const,
    repeatable: true,
    path: `/v1/audio/${name}`,
    backendPath: `/audio/${name}`,
    ...rest,
  })),
};

/** The backend out of the agent's options. */
export function asrBackend(values: Values<typeof asrAgentOptions>): Backend {
  const { asrBaseUrl, asrApiKey, models } = values;
  return {
    baseUrl: asrBaseUrl,
    apiKey: asrApiKey,
    pollMs: LOOK_MS,
    facts: {},
    probe: async ask =>
      models.length > 0 ? { models: [...models], facts: {} } : { ...(await openaiModels(asrBaseUrl, ask)), facts: {} },
  };
}

/** The broker's options of this module. */
const asrBrokerOptions = options("Module asr", {
  ...queueOptions("asr"),
  ...timeoutOption("asr", "1h"),
  ...eventOptions("asr"),
  ...matchOptions("asr"),
  defaultModel: option.text({
    env: "ASR_DEFAULT_MODEL",
    aliases: ["DEFAULT_MODEL"],
    yaml: "plugin_options.asr.default_model",
    default: undefined,
    defaultNote: "the connected model, if there is only one",
    help: "Default model of transcriptions and translations.",
  }),
});

/** The agent's backend options. */
export const asrAgentOptions = options("Backend", {
  asrBaseUrl: option.url({
    env: "ASR_BASE_URL",
    default: "http://127.0.0.1:5002/v1",
    rewrite: baseUrl,
    help: "Base URL of the speech backend, including /v1.",
  }),
  ...modelsOption(),
  asrApiKey: option.secret({ env: "ASR_API_KEY", default: undefined, help: "API key of the backend." }),
});

export const asrModule = defineModule({
  id: asr.id,
  summary: asr.summary,
  options: asrBrokerOptions,
  serve: ({ values }) => ({ worker: asr, pool: poolSettings(values) }),
  agent: { options: asrAgentOptions, endpoints: asr.endpoints, backend: asrBackend },
});
