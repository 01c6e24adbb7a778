// Details of a model.

/** Maximum length of a model name, in characters, as on the wire. */
export const MODEL_NAME_MAX = 256;

/** Model fields of a backend's list that the broker's list forwards; all are whole numbers. */
export const MODEL_FIELDS = [
  "created",
  "max_model_len",
  "context_length",
  "max_context_length",
  "loaded_context_length",
  "context_window",
  "max_input_tokens",
  "max_output_tokens",
  "max_completion_tokens",
] as const;

/** Numbers that a backend gives for a model, by their names. */
export type ModelDetails = Partial<Readonly<Record<(typeof MODEL_FIELDS)[number], number>>>;
