// The public operations of Anthropic's Messages API. Bodies pass through as they are.
import { z } from "zod";
import type { Operation, Parameter } from "../route.ts";
import { model, QUEUE, STREAM, THROUGH } from "./fields.ts";

const fields = {
  model,
  messages: z.array(z.looseObject({ role: z.string() })).describe("The conversation so far."),
};
const request = z
  .looseObject({ ...fields, max_tokens: z.int().optional(), stream: STREAM })
  .meta({ id: "MessageRequest", description: `Anthropic request. ${THROUGH}` });
const counted = z.looseObject(fields).meta({ id: "TokenCountRequest", description: `Anthropic request. ${THROUGH}` });
const message = z
  .looseObject({ type: z.string(), content: z.array(z.looseObject({})) })
  .meta({ id: "Message", description: "Anthropic response, as the backend sent it." });

const messages = [{ role: "user", content: "Say hello." }];
const version: Parameter = {
  name: "anthropic-version",
  in: "header",
  description: "Anthropic API version; forwarded to the backend.",
  example: "2023-06-01",
};

export const messageOperation: Operation = {
  summary: "Create a message",
  description:
    "Anthropic's Messages API, for backends that support it. The backend's events are forwarded unchanged. A queued stream gets its position in comments, `: nfrx.queue {…}`. An error after the stream has started is sent as Anthropic's `event: error`.",
  parameters: [version, QUEUE],
  request: {
    content: [
      { type: "application/json", schema: request, example: { model: "demo-echo", max_tokens: 100, messages } },
    ],
  },
  responses: {
    200: {
      description: "The message, or its events.",
      content: [
        {
          type: "application/json",
          schema: message,
          example: {
            id: "msg_1",
            type: "message",
            role: "assistant",
            model: "demo-echo",
            content: [{ type: "text", text: "Hello!" }],
            stop_reason: "end_turn",
            usage: { input_tokens: 4, output_tokens: 2 },
          },
        },
        {
          type: "text/event-stream",
          schema: z.string(),
          example: 'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        },
      ],
    },
  },
};

export const countOperation: Operation = {
  summary: "Count the tokens of a message",
  parameters: [version],
  request: {
    content: [{ type: "application/json", schema: counted, example: { model: "demo-echo", messages } }],
  },
  responses: {
    200: {
      description: "The token count.",
      content: [
        {
          type: "application/json",
          schema: z.looseObject({ input_tokens: z.int() }),
          example: { input_tokens: 4 },
        },
      ],
    },
  },
};
