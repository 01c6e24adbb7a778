import { options } from "../config/group.ts";
import { option } from "../config/option.ts";
import { baseUrl } from "../config/values.ts";

/** What the broker can be told about this module. */
export const asrBrokerOptions = options("Module asr", {
  minScore: option.number({
    env: "ASR_MIN_SCORE",
    yaml: "plugin_options.asr.min_score",
    default: 0.01,
    min: 0,
    max: 1,
    help: "How well a worker's model must match the requested one; 1 takes the exact model only.",
  }),
});

/** What the agent can be told about its backend. */
export const asrAgentOptions = options("Backend", {
  asrBaseUrl: option.url({
    env: "ASR_BASE_URL",
    default: "http://127.0.0.1:5002/v1",
    rewrite: baseUrl,
    help: "Transcription backend, with its /v1.",
  }),
  asrApiKey: option.secret({ env: "ASR_API_KEY", default: undefined, help: "Key of the backend." }),
});
