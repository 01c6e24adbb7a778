// The operations of the module llm. Bodies are forwarded unchanged: schemas contain the fields that the broker reads,
// and an example.
import { z } from "zod";
import type { Operation } from "../route.ts";
import { model, QUEUE, STREAM, THROUGH } from "./fields.ts";

/** The models of `nfrx demo`, so that the examples can be sent there as they are. */
const [CHAT, EMBED] = ["demo-echo", "demo-embed"];

const chatRequest = z
  .looseObject({
    model,
    messages: z.array(z.looseObject({ role: z.string() })).describe("The conversation so far."),
    stream: STREAM,
  })
  .meta({ id: "ChatCompletionRequest", description: `OpenAI request. ${THROUGH}` });
const chatAnswer = z
  .looseObject({ object: z.string().nullish(), choices: z.array(z.looseObject({})) })
  .meta({ id: "ChatCompletion", description: "OpenAI response, as the backend sent it." });
const responseRequest = z
  .looseObject({
    model,
    input: z.union([z.string(), z.array(z.looseObject({}))]).describe("A string, or a list of items."),
    stream: STREAM,
    previous_response_id: z.string().nullish().describe("Routes the request to the worker that created this response."),
    conversation: z
      .union([z.string(), z.looseObject({ id: z.string() })])
      .nullish()
      .describe("Routes the request to the worker that has this conversation."),
  })
  .meta({ id: "ResponseRequest", description: `OpenAI request. ${THROUGH}` });
export const responseAnswer = z
  .looseObject({ object: z.string().nullish(), output: z.array(z.looseObject({})) })
  .meta({ id: "Response", description: "OpenAI response, as the backend sent it." });
const embeddingRequest = z
  .looseObject({
    model,
    input: z
      .union([z.string(), z.array(z.string()), z.array(z.int()), z.array(z.array(z.int()))])
      .describe("A string, a list of strings, or tokens."),
  })
  .meta({ id: "EmbeddingRequest", description: `OpenAI request. ${THROUGH}` });
const embeddingAnswer = z
  .looseObject({
    object: z.literal("list"),
    data: z.array(z.looseObject({ index: z.int(), embedding: z.union([z.array(z.number()), z.string()]) })),
    usage: z.looseObject({ prompt_tokens: z.int(), total_tokens: z.int() }).nullish(),
  })
  .meta({ id: "EmbeddingList", description: "OpenAI response; the parts of a split request are merged." });

const EVENTS = `The backend's events are forwarded unchanged. A queued stream gets its position:

    event: nfrx.queue
    data: {"type":"nfrx.queue","request_id":"…","model":"…","position":3}

Clients that fail on unknown events get a comment instead, \`: nfrx.queue {…}\`; the header \`x-nfrx-queue\` selects the form. An
error after the stream has started is sent as \`event: error\` with the error body.`;

export const chatOperation: Operation = {
  summary: "Create a chat completion",
  description: `Forwarded to a worker that serves the model. Status, headers and body of the response are the backend's. ${EVENTS}`,
  parameters: [QUEUE],
  request: {
    content: [
      {
        type: "application/json",
        schema: chatRequest,
        example: { model: CHAT, messages: [{ role: "user", content: "Say hello." }] },
      },
    ],
  },
  responses: {
    200: {
      description: "The completion, or its events.",
      content: [
        {
          type: "application/json",
          schema: chatAnswer,
          example: {
            id: "chatcmpl-1",
            object: "chat.completion",
            created: 1735689600,
            model: CHAT,
            choices: [{ index: 0, message: { role: "assistant", content: "Hello!" }, finish_reason: "stop" }],
            usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 },
          },
        },
        {
          type: "text/event-stream",
          schema: z.string(),
          example:
            'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hello!"}}]}\n\ndata: [DONE]\n\n',
        },
      ],
    },
  },
};

export const responseOperation: Operation = {
  summary: "Create a response",
  description: `OpenAI's Responses API, for backends that support it. ${EVENTS}`,
  parameters: [QUEUE],
  request: {
    content: [{ type: "application/json", schema: responseRequest, example: { model: CHAT, input: "Say hello." } }],
  },
  responses: {
    200: {
      description: "The response, or its events.",
      content: [
        {
          type: "application/json",
          schema: responseAnswer,
          example: {
            id: "resp_1",
            object: "response",
            status: "completed",
            model: CHAT,
            output: [{ type: "message", role: "assistant", content: [{ type: "output_text", text: "Hello!" }] }],
          },
        },
        {
          type: "text/event-stream",
          schema: z.string(),
          example:
            'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hello!"}\n\n',
        },
      ],
    },
  },
};

export const embeddingOperation: Operation = {
  summary: "Create embeddings",
  description:
    "A list of inputs is split over the workers that have the model. The response is one list in the order of the inputs, with the total usage. A part that fails is retried on another worker.",
  request: {
    content: [
      {
        type: "application/json",
        schema: embeddingRequest,
        example: { model: EMBED, input: ["one text", "another"] },
      },
    ],
  },
  responses: {
    200: {
      description: "An embedding for each input.",
      content: [
        {
          type: "application/json",
          schema: embeddingAnswer,
          example: {
            object: "list",
            model: EMBED,
            data: [
              { object: "embedding", index: 0, embedding: [0.1, -0.2, 0.3] },
              { object: "embedding", index: 1, embedding: [0.2, 0.1, -0.4] },
            ],
            usage: { prompt_tokens: 3, total_tokens: 3 },
          },
        },
      ],
    },
  },
};
