// What goes wrong, in words, and how each part of the API says it.
import { z } from "zod";
import { type ErrorCode, NfrxError } from "../../lib/errors.ts";
import type { AuthClass, Content, Route } from "../../modules/route.ts";
import { errorBody } from "./error-response.ts";

/** What every code of an error means to a client. */
export const MEANING: Readonly<Record<ErrorCode, string>> = {
  no_worker:
    "no worker serves this model, or there is no worker of this name (503 when it was here within the last hour, or when the broker has just started)",
  worker_busy: "every worker is busy, and the queue is full or was waited in for too long",
  timeout: "no byte came from the worker for too long",
  upstream_error: "the worker or its backend failed",
  draining: "the broker is about to stop",
  unauthorized: "no key that fits",
  too_many_attempts: "too many wrong keys came from this address; a right one is taken at any time",
  model_not_found: "no worker serves this model",
  previous_response_not_found:
    "no worker has the response that `previous_response_id` names, or it is another caller's",
  invalid_request: "the request is not what it should be",
  not_found: "there is no such thing",
  method_not_allowed: "there is no such method here",
  too_large: "the body is larger than allowed",
  session_not_found: "the session is over, or was never the caller's",
  limit_exceeded: "too many calls at once",
  request_timeout: "no byte of the request came for too long",
  unsupported_media_type: "the body has a type or an encoding that is not taken",
  headers_too_large: "the headers are larger than allowed",
  forbidden: "the caller may not do this here",
  overloaded: "there is no room, or nobody, for this now",
  provider_unavailable: "no relay of this id is connected, or it cannot reach its provider",
  internal: "a mistake of the broker",
  transfer_not_found: "there is no such channel, or it ended long ago",
  transfer_expired: "the other end did not come in time",
  transfer_closed: "the channel has served, has failed, or is not wanted any more",
  transfer_in_use: "there is a reader, or a writer, already",
  transfer_failed: "the other end went away, or one of the two was silent for too long",
  missing_type: "the job has no type",
  missing_state: "the report has no state",
  unknown_state: "there is no such state",
  invalid_state: "the job is not in a state that allows this, or is another worker's by now",
  idempotency_conflict: "the Idempotency-Key belongs to another request",
  canceled: "the caller went away",
  refused: "the worker would not take the request",
  link_lost: "the connection to the worker broke",
  protocol: "the worker broke the wire protocol",
};

const openai = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      code: z.string().nullable().describe("The machine-readable word."),
      param: z.string().nullable().describe("The field at fault."),
    }),
  })
  .meta({ id: "OpenAIError", description: "An error as OpenAI's API has it." });
const anthropic = z
  .object({ type: z.literal("error"), error: z.object({ type: z.string(), message: z.string() }) })
  .meta({ id: "AnthropicError", description: "An error as Anthropic's API has it." });
const ollama = z.object({ error: z.string() }).meta({ id: "OllamaError", description: "An error as Ollama has it." });
const plain = z
  .object({
    error: z.string().describe("The machine-readable word."),
    message: z.string(),
    param: z.string().optional().describe("The field at fault."),
  })
  .meta({ id: "Error", description: "An error." });
const word = z
  .object({ error: z.string().describe("The machine-readable word.") })
  .meta({ id: "ErrorWord", description: "An error, as one word." });
const jsonRpc = z
  .object({
    jsonrpc: z.literal("2.0"),
    id: z.union([z.string(), z.number()]).nullable(),
    error: z.object({
      code: z.int(),
      message: z.string(),
      data: z.looseObject({ mcp: z.string(), code: z.string().describe("The machine-readable word.") }),
    }),
  })
  .meta({ id: "JsonRpcError", description: "An error as JSON-RPC has it." });

const SHAPES = { openai, anthropic, ollama, plain, word, "json-rpc": jsonRpc };

/** The body of an error, as an example of it. */
export function failureContent(shape: Route["errors"], code: ErrorCode, temporary = false): Content {
  const meaning = MEANING[code];
  if (shape === "text") return { type: "text/plain", schema: z.string(), example: meaning };
  return {
    type: "application/json",
    schema: SHAPES[shape],
    example: errorBody(new NfrxError(code, meaning, { temporary }), shape),
  };
}

/** All that can go wrong on a route: what its callers' class brings, and what it says itself. */
export function failuresOf({ operation, auth }: Pick<Route, "operation" | "auth">): ErrorCode[] {
  return [...new Set([...DOORS[auth], ...(operation?.failures ?? [])])];
}

/** What each door says to those who may not pass. A relay's says it itself. */
const DOORS: Readonly<Record<AuthClass, readonly ErrorCode[]>> = {
  none: [],
  api: ["unauthorized", "too_many_attempts"],
  client: ["unauthorized", "too_many_attempts"],
  "api-or-admin": ["unauthorized", "too_many_attempts"],
  "api-or-client": ["unauthorized", "too_many_attempts"],
  admin: ["unauthorized", "too_many_attempts", "forbidden"],
  relay: [],
};
