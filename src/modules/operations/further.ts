// The operations of OpenAI's further routes, which some OpenAI-compatible servers have. Bodies are forwarded unchanged:
// schemas contain the fields that the broker reads, and an example.
import { z } from "zod";
import type { Operation } from "../route.ts";
import { model, STREAM, THROUGH } from "./fields.ts";

const WHERE = "For backends that support it; the 404 of a backend that does not is forwarded.";

/** An operation with a JSON request and a JSON response. */
const asked = (
  summary: string,
  [request, askExample]: [z.ZodType, object],
  [answer, answerExample]: [z.ZodType, object],
): Operation => ({
  summary,
  description: WHERE,
  request: { content: [{ type: "application/json", schema: request, example: askExample }] },
  responses: {
    200: {
      description: "The backend's response.",
      content: [{ type: "application/json", schema: answer, example: answerExample }],
    },
  },
});

export const completionOperation = asked(
  "Complete a prompt",
  [
    z
      .looseObject({ model, prompt: z.unknown().describe("A string, a list of strings, or tokens."), stream: STREAM })
      .meta({ id: "CompletionRequest", description: `OpenAI's legacy completions request. ${THROUGH}` }),
    { model: "demo-echo", prompt: "Once upon a time" },
  ],
  [
    z
      .looseObject({ choices: z.array(z.looseObject({})) })
      .meta({ id: "Completion", description: "OpenAI's legacy completions response." }),
    {
      object: "text_completion",
      model: "demo-echo",
      choices: [{ index: 0, text: " there was", finish_reason: "stop" }],
    },
  ],
);

export const imageOperation = asked(
  "Create images",
  [
    z
      .looseObject({ model, prompt: z.string().describe("Description of the images."), stream: STREAM })
      .meta({ id: "ImageRequest", description: `OpenAI request. ${THROUGH}` }),
    { model: "flux-schnell", prompt: "A lighthouse at dusk", size: "1024x1024" },
  ],
  [
    z.looseObject({ data: z.array(z.looseObject({})) }).meta({ id: "ImageList", description: "OpenAI response." }),
    { created: 1735689600, data: [{ b64_json: "aGVsbG8=" }] },
  ],
);

/** A picture as a form. */
const pictured = (summary: string, id: string, fields: z.ZodRawShape): Operation => ({
  summary,
  description: WHERE,
  request: {
    content: [
      {
        type: "multipart/form-data",
        schema: z
          .looseObject({ image: z.string().meta({ format: "binary", description: "The image." }), model, ...fields })
          .meta({ id, description: "OpenAI form. All other parts are forwarded to the backend unchanged." }),
      },
    ],
  },
  responses: {
    200: {
      description: "The backend's response.",
      content: [
        {
          type: "application/json",
          schema: z.looseObject({ data: z.array(z.looseObject({})) }),
          example: { created: 1735689600, data: [{ b64_json: "aGVsbG8=" }] },
        },
      ],
    },
  },
});

export const imageEditOperation = pictured("Edit an image", "ImageEditForm", {
  prompt: z.string().describe("Description of the change."),
});
export const imageVariationOperation = pictured("Create variations of an image", "ImageVariationForm", {});

const optionalModel = model.optional().describe("Model; optional if only one is connected.");

export const tokenizeOperation = asked(
  "Tokenize a text",
  [
    z
      .looseObject({ model: optionalModel, prompt: z.string().optional() })
      .meta({ id: "TokenizeRequest", description: `vLLM request. ${THROUGH}` }),
    { model: "demo-echo", prompt: "Hello" },
  ],
  [z.looseObject({ tokens: z.array(z.unknown()) }), { count: 1, max_model_len: 8192, tokens: [9707] }],
);

export const detokenizeOperation = asked(
  "Detokenize tokens",
  [
    z
      .looseObject({ model: optionalModel, tokens: z.array(z.int()) })
      .meta({ id: "DetokenizeRequest", description: `vLLM request. ${THROUGH}` }),
    { model: "demo-echo", tokens: [9707] },
  ],
  [z.looseObject({}), { prompt: "Hello" }],
);

export const scoreOperation = asked(
  "Score the similarity of texts",
  [
    z
      .looseObject({ model: optionalModel, text_1: z.unknown(), text_2: z.unknown() })
      .meta({ id: "ScoreRequest", description: `vLLM request. ${THROUGH}` }),
    { model: "bge-reranker", text_1: "Where is the lighthouse?", text_2: ["It is at the cape."] },
  ],
  [z.looseObject({ data: z.array(z.looseObject({})) }), { data: [{ index: 0, score: 0.97 }] }],
);

export const moderationOperation = asked(
  "Classify a text for moderation",
  [
    z
      .looseObject({ model, input: z.unknown().describe("A string, or a list of strings.") })
      .meta({ id: "ModerationRequest", description: `OpenAI request. ${THROUGH}` }),
    { model: "text-moderation", input: "Have a nice day." },
  ],
  [
    z.looseObject({ results: z.array(z.looseObject({})) }).meta({ id: "Moderation", description: "OpenAI response." }),
    { id: "modr-1", model: "text-moderation", results: [{ flagged: false }] },
  ],
);

export const rerankOperation = asked(
  "Rerank documents by a query",
  [
    z
      .looseObject({
        model,
        query: z.string(),
        documents: z.array(z.unknown()).describe("Strings, or objects with a text."),
      })
      .meta({ id: "RerankRequest", description: `Request as Jina, Cohere and vLLM define it. ${THROUGH}` }),
    { model: "bge-reranker", query: "Where is the lighthouse?", documents: ["It is at the cape.", "It rained."] },
  ],
  [
    z
      .looseObject({ results: z.array(z.looseObject({})) })
      .meta({ id: "Ranking", description: "The ranking, best first." }),
    { results: [{ index: 0, relevance_score: 0.97 }] },
  ],
);
