/** An error of the demo backend, in OpenAI's format. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly status: number,
    message: string,
    readonly code: string | null = null,
    readonly param: string | null = null,
  ) {
    super(message);
  }
}

/** Converts an error to an OpenAI error response; anything but an `ApiError` is a 500 without details. */
export function apiErrorResponse(error: unknown): Response {
  const { status, message, code, param } =
    error instanceof ApiError ? error : new ApiError(500, "The demo backend failed", "internal_error");
  const type = status >= 500 ? "server_error" : "invalid_request_error";
  // 413 is sent before the upload ends: without `close` Bun would read the rest first.
  const headers: Record<string, string> = status === 413 ? { connection: "close" } : {};
  return Response.json({ error: { message, type, param, code } }, { status, headers });
}
