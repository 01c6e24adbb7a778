import { option } from "../config/option.ts";
import { text } from "../config/values.ts";

/** The option by which an agent names its models itself. */
export const modelsOption = () => ({
  models: option.list({
    env: "MODELS",
    of: text(),
    default: [],
    defaultNote: "reported by the backend",
    help: "Models of the backend, comma-separated, for a backend that does not list them. The agent then does not query models or availability.",
  }),
});
