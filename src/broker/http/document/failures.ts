// Error descriptions, and the error format of each API.
import { z } from "zod";
import { type ErrorCode, NfrxError } from "../../../lib/errors.ts";
import type { Content, Route } from "../../../modules/route.ts";
import { holdersOf, MCP, PUBLIC } from "../access/authenticator.ts";
import { errorBody } from "../error-response.ts";

/** The meaning of every error code. */
export const MEANING: Readonly<Record<ErrorCode, string>> = {
  no_worker:
    "no worker serves this model, or no worker has this ID (503 if one did within the last hour, or if the broker has just started)",
  worker_busy: "every worker is busy, and the queue is full or the wait was too long",
  timeout: "the worker sent nothing for too long",
  upstream_error: "the worker or its backend failed",
  draining: "the broker is shutting down",
  unauthorized: "missing or invalid API key",
  too_many_attempts: "too many wrong keys from this address; a valid key is always accepted",
  model_not_found: "no worker serves this model",
  previous_response_not_found: "no worker has the response in `previous_response_id`, or it belongs to another caller",
  invalid_request: "the request is invalid",
  not_found: "not found",
  method_not_allowed: "method not allowed",
  too_large: "the body is too large",
  session_not_found: "the session has ended, or belongs to another caller",
  limit_exceeded: "too many concurrent calls",
  request_timeout: "the client took too long to send the request",
  unsupported_media_type: "the content type or encoding of the body is not supported",
  headers_too_large: "the headers are too large",
  forbidden: "the caller is not allowed to do this",
  overloaded: "a capacity limit is reached, or no worker is available; retry later",
  provider_unavailable: "no relay with this ID is connected, or the relay cannot reach its provider",
  internal: "internal error of the broker",
  transfer_not_found: "the channel does not exist, or ended long ago",
  transfer_expired: "the other end did not connect in time",
  transfer_closed: "the channel was used, has failed, or was canceled",
  transfer_in_use: "the channel already has a reader or a writer",
  transfer_failed: "the other end disconnected, or one end was idle for too long",
  missing_type: "the job has no type",
  missing_state: "the report has no state",
  unknown_state: "unknown state",
  invalid_state: "the job's state does not allow this, or another worker has the job",
  idempotency_conflict: "the Idempotency-Key was used for a different request",
  rate_limit_exceeded: "the key has reached a limit per minute or of concurrent requests",
  insufficient_quota: "the key has reached a limit per day or month",
  exists: "the name is already in use",
  canceled: "the caller disconnected",
  refused: "the worker rejected the request",
  link_lost: "the connection to the worker was lost",
  protocol: "the worker violated the wire protocol",
};

const openai = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      code: z.string().nullable().describe("Machine-readable code."),
      param: z.string().nullable().describe("The invalid field."),
    }),
  })
  .meta({ id: "OpenAIError", description: "Error in the format of OpenAI's API." });
const anthropic = z
  .object({ type: z.literal("error"), error: z.object({ type: z.string(), message: z.string() }) })
  .meta({ id: "AnthropicError", description: "Error in the format of Anthropic's API." });
const ollama = z
  .object({ error: z.string() })
  .meta({ id: "OllamaError", description: "Error in the format of Ollama's API." });
const plain = z
  .object({
    error: z.string().describe("Machine-readable code."),
    message: z.string(),
    param: z.string().optional().describe("The invalid field."),
  })
  .meta({ id: "Error", description: "An error." });
const word = z
  .object({ error: z.string().describe("Machine-readable code.") })
  .meta({ id: "ErrorWord", description: "Error, as a code only." });
const jsonRpc = z
  .object({
    jsonrpc: z.literal("2.0"),
    id: z.union([z.string(), z.number()]).nullable(),
    error: z.object({
      code: z.int(),
      message: z.string(),
      data: z.looseObject({ mcp: z.string(), code: z.string().describe("Machine-readable code.") }),
    }),
  })
  .meta({ id: "JsonRpcError", description: "Error in the format of JSON-RPC." });

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

/** All that can go wrong on a route: what its scopes bring, and what it says itself. */
export function failuresOf(route: Pick<Route, "operation" | "scopes">): ErrorCode[] {
  return [...new Set([...refusalsOf(route), ...(route.operation?.failures ?? [])])];
}

/** Errors for callers without access to a route. A relay has its own. */
function refusalsOf({ scopes }: Pick<Route, "scopes">): ErrorCode[] {
  const [holder] = holdersOf(scopes);
  if (scopes.includes(PUBLIC) || scopes.includes(MCP)) return [];
  return ["unauthorized", "too_many_attempts", ...(holder === "admin" ? (["forbidden"] as const) : [])];
}
