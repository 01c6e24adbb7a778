// The public operations on responses that a backend keeps.
import { z } from "zod";
import type { Operation, Parameter } from "../route.ts";
import { responseAnswer } from "./openai.ts";

const ID = "resp_68af4030592c81938ec0a5fbab4a3e9f";

const response: Parameter = {
  name: "response",
  in: "path",
  description: "Response ID, from the response or its first event.",
  example: ID,
};

/** Only the worker that has the response can serve the request. */
const operation = (summary: string, schema: z.ZodType, example: object): Operation => ({
  summary,
  description:
    "Forwarded to the worker that created the response. Only the key that created a response can access it. For backends that store responses.",
  parameters: [response],
  responses: {
    200: { description: "The backend's response.", content: [{ type: "application/json", schema, example }] },
  },
});

const stored = { id: ID, object: "response", status: "completed", model: "demo-echo", output: [] };

export const getResponseOperation = operation("Get a response", responseAnswer, stored);

export const cancelResponseOperation = operation("Cancel a response", responseAnswer, {
  ...stored,
  status: "cancelled",
});

export const deleteResponseOperation = operation(
  "Delete a response",
  z
    .looseObject({ id: z.string(), deleted: z.boolean() })
    .meta({ id: "ResponseDeleted", description: "OpenAI response." }),
  { id: ID, object: "response", deleted: true },
);

export const responseItemsOperation = operation(
  "List the input items of a response",
  z
    .looseObject({ data: z.array(z.looseObject({})) })
    .meta({ id: "ResponseItemList", description: "OpenAI's list of items." }),
  { object: "list", data: [{ id: "msg_1", type: "message", role: "user", content: [] }], has_more: false },
);
