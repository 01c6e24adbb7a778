// The public operations of Ollama's own API. Bodies pass through as they are.
import { z } from "zod";
import type { Content, Operation } from "../route.ts";
import { model, THROUGH } from "./fields.ts";

const MODEL = "llama3.2:3b";
const stream = z.boolean().nullish().describe("Answer line by line, which is so unless this is false.");
const loose = z.looseObject({});

const json = (schema: z.ZodType, example: object): Content => ({ type: "application/json", schema, example });
const lines = (example: object): Content => ({
  type: "application/x-ndjson",
  schema: z.string(),
  example: `${JSON.stringify(example)}\n`,
});

/** An operation of which the broker reads the model. */
function asked(summary: string, fields: z.ZodRawShape, example: object, answer: object, streams: boolean): Operation {
  const schema = z
    .looseObject({ model, ...fields, ...(streams && { stream }) })
    .describe(`Ollama's request. ${THROUGH}`);
  const response = { model: MODEL, ...answer };
  return {
    summary,
    request: { content: [json(schema, { model: MODEL, ...example, ...(streams && { stream: false }) })] },
    responses: {
      200: {
        description: "The backend's answer.",
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
      description: "The models of all backends, each once.",
      content: [
        json(z.looseObject({ models: z.array(z.looseObject({ name: z.string() })) }), { models: [{ name: MODEL }] }),
      ],
    },
  },
});

export const chatOperation = asked(
  "Chat in Ollama's way",
  { messages: z.array(z.looseObject({ role: z.string() })).describe("The conversation so far.") },
  { messages: [{ role: "user", content: "Say hello." }] },
  { message: { role: "assistant", content: "Hello!" }, done: true },
  true,
);
export const generateOperation = asked(
  "Complete a prompt in Ollama's way",
  { prompt: z.string().optional() },
  { prompt: "Once upon a time" },
  { response: " there was", done: true },
  true,
);
export const embedOperation = asked(
  "Create embeddings in Ollama's way",
  { input: z.union([z.string(), z.array(z.string())]) },
  { input: ["one text", "another"] },
  { embeddings: [[0.1], [0.2]] },
  false,
);
export const embeddingsOperation = asked(
  "Create one embedding in Ollama's older way",
  { prompt: z.string() },
  { prompt: "one text" },
  { embedding: [0.1, 0.2] },
  false,
);
export const versionOperation: Operation = {
  summary: "Get Ollama's version",
  description: "Of several backends the lowest.",
  responses: {
    200: { description: "The version.", content: [json(z.object({ version: z.string() }), { version: "0.20.0" })] },
  },
};
export const runningOperation: Operation = {
  summary: "Ask whether Ollama's API is there",
  responses: {
    200: {
      description: "It is.",
      content: [{ type: "text/plain", schema: z.string(), example: "Ollama is running" }],
    },
  },
};
export const showOperation = asked("Describe a model in Ollama's way", {}, {}, { details: { family: "llama" } }, false);
export const tagsOperation = listed("List the models of all Ollama backends", "Every worker is asked.");
export const psOperation = listed("List the models that Ollama backends have loaded", "Every worker is asked.");
