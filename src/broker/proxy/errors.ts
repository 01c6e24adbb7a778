// How an error looks to a client.
import { type NfrxError, toNfrxError } from "../../lib/errors.ts";
import type { WorkerModule } from "../../modules/module.ts";

/** The error object of OpenAI's API, by which the official SDKs choose their exception. */
export function openaiError(error: NfrxError): object {
  return {
    error: { message: error.message, type: typeOf(error.status), code: error.code, param: error.detail.param ?? null },
  };
}

function typeOf(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

/** An error's body in the shape of a module's API. */
export function errorBody(error: NfrxError, shape: WorkerModule["errors"]): object {
  return shape === "openai"
    ? openaiError(error)
    : { error: error.code, message: error.message, ...(error.detail.param && { param: error.detail.param }) };
}

/** The response for anything that was thrown. */
export function errorResponse(thrown: unknown, shape: WorkerModule["errors"], requestId?: string): Response {
  const error = toNfrxError(thrown);
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (requestId !== undefined) headers["x-request-id"] = requestId;
  if (error.detail.retryAfterSeconds !== undefined) headers["retry-after"] = String(error.detail.retryAfterSeconds);
  if (error.code === "unauthorized") headers["www-authenticate"] = "Bearer";
  // Bun swallows the rest of an upload that is answered early, so that every client comes to read the answer. What is
  // larger than anybody may send is not worth that.
  if (error.code === "too_large") headers["connection"] = "close";
  return new Response(JSON.stringify(errorBody(error, shape)), { status: error.status, headers });
}

/** The same as the last event of a stream that has already begun. */
export function errorEvent(thrown: unknown, shape: WorkerModule["errors"]): Uint8Array {
  return Buffer.from(`event: error\ndata: ${JSON.stringify(errorBody(toNfrxError(thrown), shape))}\n\n`);
}
