// How an error looks to a client.
import { type ErrorCode, type NfrxError, toNfrxError } from "../../lib/errors.ts";
import { NOSNIFF } from "../../lib/response-headers.ts";
import type { ErrorShape } from "../../modules/module.ts";

/** The error object of OpenAI's API, by which the official SDKs choose their exception. */
function openaiError(error: NfrxError): object {
  return {
    error: { message: error.message, type: typeOf(error.status), code: error.code, param: error.detail.param ?? null },
  };
}

/** The type that OpenAI's API gives an error of this status. */
export function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

/** Error names of 0.9 for MCP calls. */
const MCP_WORDS: Partial<Record<ErrorCode, string>> = {
  unauthorized: "MCP_UNAUTHORIZED",
  too_many_attempts: "MCP_UNAUTHORIZED",
  forbidden: "MCP_UNAUTHORIZED",
  provider_unavailable: "MCP_PROVIDER_UNAVAILABLE",
  draining: "MCP_PROVIDER_UNAVAILABLE",
  overloaded: "MCP_PROVIDER_UNAVAILABLE",
  timeout: "MCP_TIMEOUT",
  request_timeout: "MCP_TIMEOUT",
  too_large: "MCP_LIMIT_EXCEEDED",
  limit_exceeded: "MCP_LIMIT_EXCEEDED",
  invalid_request: "MCP_SCHEMA_ERROR",
  method_not_allowed: "MCP_SCHEMA_ERROR",
};

/** JSON-RPC codes for an unknown session, as in the official servers, and for server-defined errors. */
const RPC_NO_SESSION = -32_001;
const RPC_SERVER_ERROR = -32_000;

/** The error object of JSON-RPC, with `id` as the request had it. */
export function rpcError(error: NfrxError, id: string | number | null = null): object {
  const code = error.code === "session_not_found" ? RPC_NO_SESSION : RPC_SERVER_ERROR;
  const data = { mcp: MCP_WORDS[error.code] ?? "MCP_UPSTREAM_ERROR", code: error.code };
  return { jsonrpc: "2.0", id, error: { code, message: error.message, data } };
}

/** The words of Anthropic's API, by which its SDKs choose their exception together with the status. */
export function anthropicType(status: number): string {
  if (status === 413) return "request_too_large";
  if (status === 404) return "not_found_error";
  if (status === 503) return "overloaded_error";
  if (status === 504) return "timeout_error";
  return status < 500 ? typeOf(status) : "api_error";
}

/** An error's body in the shape of an API. */
export function errorBody(error: NfrxError, shape: ErrorShape): object {
  switch (shape) {
    case "json-rpc":
      return rpcError(error);
    case "word":
      return { error: error.code };
    case "openai":
      return openaiError(error);
    case "anthropic":
      return { type: "error", error: { type: anthropicType(error.status), message: error.message } };
    case "ollama":
      return { error: error.message };
    case "plain":
      return { error: error.code, message: error.message, ...(error.detail.param && { param: error.detail.param }) };
  }
}

/** Errors that end their connection. */
const CLOSING: ReadonlySet<ErrorCode> = new Set(["too_large", "too_many_attempts", "request_timeout"]);

/** The response for anything that was thrown; `body` unless the shape's own will do. */
export function errorResponse(
  thrown: unknown,
  shape: ErrorShape | "text",
  requestId?: string,
  body?: object,
): Response {
  const error = toNfrxError(thrown);
  const text = shape === "text" ? error.message : JSON.stringify(body ?? errorBody(error, shape));
  const headers: Record<string, string> = {
    "content-type": shape === "text" ? "text/plain;charset=utf-8" : "application/json",
    // So that the access log need not read the body.
    "content-length": String(Buffer.byteLength(text)),
    [NOSNIFF[0]]: NOSNIFF[1],
  };
  if (requestId !== undefined) headers["x-request-id"] = requestId;
  if (error.detail.allow !== undefined) headers["allow"] = error.detail.allow;
  if (error.detail.retryAfterSeconds !== undefined) headers["retry-after"] = String(error.detail.retryAfterSeconds);
  // The work was too long once and would be again: the official SDKs would have it done twice more.
  if (error.code === "timeout" || error.code === "insufficient_quota") headers["x-should-retry"] = "false";
  if (error.code === "unauthorized") headers["www-authenticate"] = "Bearer";
  // Bun swallows the rest of an upload that is answered early, so that every client comes to read the answer. What is
  // larger than anybody may send, or never comes, is not worth that, and a guess of a key has to cost a connection.
  if (CLOSING.has(error.code)) headers["connection"] = "close";
  return new Response(text, { status: error.status, headers });
}
