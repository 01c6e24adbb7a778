// The public operations of Ollama's own API. Bodies pass through as they are.
import { z } from "zod";
import type { Content, Operation } from "../route.ts";
import { model, THROUGH } from "./fields.ts";

const MODEL = "llama3.2:3b";
const stream = z.boolean().nullish().describe("Stream the response line by line; true by default.");
const loose = z.looseObject({});

const json = (schema: z.ZodType, example: object): Content => ({ type: "application/json", schema, example });
const lines = (example: object): Content => ({
  type: "application/x-ndjson",
  schema: z.string(),
  example: `${JSON.stringify(example)}\n`,
});

/** An operation of which the broker reads the model. */
function asked(summary: string, fields: z.ZodRawShape, example: object, answer: object, streams: boolean): Operation {
  const schema = z.looseObject({ model, ...fields, ...(streams && { stream }) }).describe(`Ollama request. ${THROUGH}`);
  const response = { model: MODEL, ...answer };
  return {
    summary,
    request: { content: [json(schema, { model: MODEL, ...example, ...(streams && { stream: false }) })] },
    responses: {
      200: {
        description: "The backend's response.",
        content: [json(loose, response), ...(streams ? [lines(response)] : [])],
      },
    },
  };
}

const listed = (summary: string, description: string): Operation => ({
  summary,
  description,
  responses: {
    200: {
      description: "The models of all backends, without duplicates.",
      content: [
        json(z.looseObject({ models: z.array(z.looseObject({ name: z.string() })) }), { models: [{ name: MODEL }] }),
      ],
    },
  },
});

export const chatOperation = asked(
  "Chat (Ollama API)",
  { messages: z.array(z.looseObject({ role: z.string() })).describe("The conversation so far.") },
  { messages: [{ role: "user", content: "Say hello." }] },
  { message: { role: "assistant", content: "Hello!" }, done: true },
  true,
);
export const generateOperation = asked(
  "Complete a prompt (Ollama API)",
  { prompt: z.string().optional() },
  { prompt: "Once upon a time" },
  { response: " there was", done: true },
  true,
);
export const embedOperation = asked(
  "Create embeddings (Ollama API)",
  { input: z.union([z.string(), z.array(z.string())]) },
  { input: ["one text", "another"] },
  { embeddings: [[0.1], [0.2]] },
  false,
);
export const embeddingsOperation = asked(
  "Create one embedding (Ollama's legacy API)",
  { prompt: z.string() },
  { prompt: "one text" },
  { embedding: [0.1, 0.2] },
  false,
);
export const versionOperation: Operation = {
  summary: "Get Ollama's version",
  description: "The lowest version, if there are several backends.",
  responses: {
    200: { description: "The version.", content: [json(z.object({ version: z.string() }), { version: "0.20.0" })] },
  },
};
export const runningOperation: Operation = {
  summary: "Check whether Ollama's API is available",
  responses: {
    200: {
      description: "It is available.",
      content: [{ type: "text/plain", schema: z.string(), example: "Ollama is running" }],
    },
  },
};
export const showOperation = asked("Show a model (Ollama API)", {}, {}, { details: { family: "llama" } }, false);
export const tagsOperation = listed("List the models of all Ollama backends", "Queries every worker.");
export const psOperation = listed("List the models that Ollama backends have loaded", "Queries every worker.");
