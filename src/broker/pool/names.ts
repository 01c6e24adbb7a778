// Parses model names: aliases of the same model, and quantizations.

/** Suffixes of a tag that name a quantization and nothing else, in lower case. */
const QUANTIZATION = new RegExp(
  `^(?:${[
    "q\\d(?:_\\d(?:_\\d_\\d)?|_k(?:_(?:xxs|xs|s|m|l|xl))?)?",
    "iq\\d_(?:xxs|xs|s|m|l|nl|xl)",
    "tq[12]_0",
    "fp(?:4|6|8|16|32)(?:_e\\dm\\d)?",
    "b?f(?:16|32)",
    "u?int[2-8]",
    "w\\d+a\\d+",
    "mxfp[468]",
    "nvfp4",
    "[nf]f4",
    "[2-8]bit",
    "awq|gptq|exl[23]|hqq|bnb|aqlm|eetq|gguf",
  ].join("|")})$`,
);

/** Maximum number of consecutive suffixes, as in `awq-int4`; further ones are ignored. */
const SUFFIXES_MAX = 3;

/**
 * The name that quantizations of a model share: `llama3:8b-q4_0` and `llama3:8b` are both `llama3:8b`. Only a known
 * quantization is left out: `qwen3:30b-instruct` is a model of its own. A name without a tag has none.
 */
export function aliasOf(model: string): string | undefined {
  const colon = model.lastIndexOf(":");
  if (colon <= 0) return undefined;
  let end = model.length;
  for (let left = SUFFIXES_MAX; left > 0; left--) {
    const dash = model.lastIndexOf("-", end - 1);
    if (dash <= colon || !QUANTIZATION.test(model.slice(dash + 1, end).toLowerCase())) break;
    end = dash;
  }
  return end > colon + 1 ? model.slice(0, end) : undefined;
}

const LATEST = ":latest";

/** The same model by Ollama's other name for it: `llama3.2` is `llama3.2:latest`. Undefined for a name with another tag. */
export function latestOf(model: string): string | undefined {
  if (model.endsWith(LATEST)) return model.length > LATEST.length ? model.slice(0, -LATEST.length) : undefined;
  // A colon before the last slash is that of a registry's port.
  return model === "" || model.includes(":", model.lastIndexOf("/") + 1) ? undefined : model + LATEST;
}
