// OpenAI's Responses API stores responses: later requests go to the worker that has them.
import type { Keeps, PublicEndpoint } from "./module.ts";
import {
  cancelResponseOperation,
  deleteResponseOperation,
  getResponseOperation,
  responseItemsOperation,
} from "./operations/responses.ts";
import type { Operation } from "./route.ts";
import { responseStream } from "./streams/response.ts";

const PATH = "/responses/:response";
const LOOKUP = "/responses/:id";

/** IDs in a request that creates a response, and in its response. */
export const responseKeeps: Keeps = {
  answer: "id",
  fields: [
    {
      name: "previous_response_id",
      what: "previous response",
      lookup: LOOKUP,
      missing: "previous_response_not_found",
    },
    { name: "conversation", what: "conversation", lookup: "/conversations/:id" },
  ],
};

const endpoint = (
  method: PublicEndpoint["method"],
  below: string,
  jobType: string,
  operation: Operation,
): PublicEndpoint => ({
  method,
  path: `/v1${PATH}${below}`,
  backendPath: PATH + below,
  jobType,
  label: "none",
  events: false,
  stream: responseStream,
  repeatable: method === "GET",
  keeps: { segment: { name: "response", what: "response", lookup: LOOKUP } },
  operation,
});

/** Requests about an existing response. */
export const responseEndpoints: readonly PublicEndpoint[] = [
  endpoint("GET", "", "llm.response.get", getResponseOperation),
  endpoint("DELETE", "", "llm.response.delete", deleteResponseOperation),
  endpoint("POST", "/cancel", "llm.response.cancel", cancelResponseOperation),
  endpoint("GET", "/input_items", "llm.response.items", responseItemsOperation),
];
