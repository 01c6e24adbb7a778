import { option } from "../config/option.ts";
import { text } from "../config/values.ts";

/** The option by which an agent names its models itself. */
export const modelsOption = () => ({
  models: option.list({
    env: "MODELS",
    of: text(),
    default: [],
    defaultNote: "asked of the backend",
    help: "Models of the backend, with commas, for one that does not list them; it is not asked for its models then, nor whether it is there.",
  }),
});
