// The rules of the Streamable HTTP transport for request heads, and the errors for violations.
import { asText } from "../../../lib/bytes.ts";
import { headerOf } from "../../../lib/http.ts";
import {
  errorText,
  INVALID_REQUEST,
  MalformedMessage,
  type Message,
  PARSE_ERROR,
  readMessages,
  SERVER_ERROR,
} from "../channels/message.ts";
import { SESSION_VERSIONS } from "../channels/versions.ts";
import type { ProviderRequest } from "../provider.ts";

/** Maximum messages in one batch. */
const BATCH_MAX = 100;
/** The version of a client that does not name one. */
export const DEFAULT_VERSION = "2025-03-26";
/** The first version whose clients support events without data. */
export const FIRST_PRIMED_VERSION = "2025-11-25";

/** A JSON-RPC error as an HTTP response. `id` is JSON. */
export function refuse(
  status: number,
  code: number,
  message: string,
  more: { id?: string | undefined; data?: unknown; headers?: Record<string, string> } = {},
): Response {
  const headers = { "content-type": "application/json", ...more.headers };
  return new Response(errorText(more.id, code, message, more.data), { status, headers });
}

/** The response types that a client accepts. */
export interface Accepts {
  json: boolean;
  events: boolean;
}

/** Parses a request's Accept header. */
export function acceptsOf(request: ProviderRequest): Accepts {
  const named = (headerOf(request.headers, "accept") ?? "").toLowerCase();
  const all = named.includes("*/*");
  return {
    json: all || named.includes("application/json") || named.includes("application/*"),
    events: all || named.includes("text/event-stream") || named.includes("text/*"),
  };
}

/** The messages of a POST, or the error response if there are none. */
export function readPost(request: ProviderRequest): { batch: boolean; messages: Message[] } | Response {
  const accepts = acceptsOf(request);
  if (!accepts.json && !accepts.events) {
    const message = "Not Acceptable: Client must accept both application/json and text/event-stream";
    return refuse(406, SERVER_ERROR, message);
  }
  const type = headerOf(request.headers, "content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    return refuse(415, SERVER_ERROR, "Unsupported Media Type: Content-Type must be application/json");
  }
  try {
    const read = readMessages(asText(request.body ?? new Uint8Array()));
    if (read.messages.length > BATCH_MAX) {
      return refuse(400, INVALID_REQUEST, `Invalid Request: Batch must not exceed ${BATCH_MAX} messages`);
    }
    return read.messages.length > 0 ? read : refuse(400, INVALID_REQUEST, "Invalid Request: empty batch");
  } catch (error) {
    if (error instanceof MalformedMessage) return refuse(400, PARSE_ERROR, error.message);
    throw error;
  }
}

/** The error for an MCP-Protocol-Version that has no sessions or is unknown. */
export function versionRefusal(request: ProviderRequest): Response | undefined {
  const version = headerOf(request.headers, "mcp-protocol-version")?.trim();
  if (version === undefined || SESSION_VERSIONS.some(known => known === version)) return undefined;
  const known = SESSION_VERSIONS.join(", ");
  return refuse(
    400,
    SERVER_ERROR,
    `Bad Request: Unsupported protocol version: ${version} (supported versions: ${known})`,
  );
}

export const NO_SESSION_ID = "Bad Request: Mcp-Session-Id header is required";

/** The error for a request whose method the transport does not have. */
export function methodNotAllowed(allow: string): Response {
  return refuse(405, SERVER_ERROR, "Method not allowed.", { headers: { allow } });
}
