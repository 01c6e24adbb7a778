import { options } from "../config/group.ts";
import { option } from "../config/option.ts";
import { baseUrl } from "../config/values.ts";

/** What the agent can be told about its backend. */
export const doclingAgentOptions = options("Backend", {
  docBaseUrl: option.url({
    env: "DOC_BASE_URL",
    default: "http://127.0.0.1:5001",
    rewrite: baseUrl,
    help: "Docling server, without /v1.",
  }),
  docApiKey: option.secret({ env: "DOC_API_KEY", default: undefined, help: "Key of the backend." }),
});
