// JSON-RPC as wire v1 carries it: one request, one response, and the text of both as it was written.
import { z } from "zod";
import { headerOf } from "../lib/http.ts";
import { spanOf } from "../lib/json-span.ts";
import type { HeaderList, RequestHead } from "./frames.ts";
import { NAME_MAX } from "./limits.ts";

/** A request that waits for its response. */
export interface AwaitedReply {
  id: string | number | undefined;
  /** The id as it was written, or `null`. */
  idText: string;
}

/** A call that v1 can carry. */
export interface RpcCall extends AwaitedReply {
  method: string;
  /** The caller's bearer token. */
  token: string | undefined;
  /** The whole request. */
  text: string;
}

/** An HTTP response that the broker creates itself. */
export interface RpcReply {
  status: number;
  headers: HeaderList;
  body: string;
}

/** The error names of the 0.9 series, in `error.data.mcp`. */
const WORDS: Readonly<Record<number, string>> = {
  400: "MCP_SCHEMA_ERROR",
  401: "MCP_UNAUTHORIZED",
  403: "MCP_UNAUTHORIZED",
  408: "MCP_TIMEOUT",
  413: "MCP_LIMIT_EXCEEDED",
  429: "MCP_LIMIT_EXCEEDED",
  503: "MCP_PROVIDER_UNAVAILABLE",
  504: "MCP_TIMEOUT",
};
const STATUS: ReadonlyMap<string, number> = new Map([
  ["MCP_UNAUTHORIZED", 401],
  ["MCP_SCHEMA_ERROR", 400],
  ["MCP_LIMIT_EXCEEDED", 429],
  ["MCP_UPSTREAM_ERROR", 502],
  ["MCP_TIMEOUT", 504],
]);

/** The 0.9 series' name for an HTTP status. */
export function wordOf(status: number): string {
  return WORDS[status] ?? "MCP_UPSTREAM_ERROR";
}

/** The HTTP status for an error name of 0.9; unknown names mean that the relay cannot serve. */
export function statusOf(word: string): number {
  return STATUS.get(word) ?? 503;
}

/** The text of an error. `idText` is JSON. */
export function rpcErrorText(idText: string, message: string, mcp: string, more: object = {}): string {
  const error = JSON.stringify({ code: SERVER_ERROR, message, data: { mcp, ...more } });
  return `{"jsonrpc":"2.0","id":${idText},"error":${error}}`;
}

/** JSON-RPC's code for server-defined errors. */
const SERVER_ERROR = -32_000;

/** An error as HTTP response. */
export function errorReply(status: number, idText: string, message: string, mcp = wordOf(status)): RpcReply {
  const headers: HeaderList = [["content-type", "application/json"]];
  if (status === 401) headers.push(["www-authenticate", "Bearer"]);
  if (status === 405) headers.push(["allow", "POST"]);
  return { status, headers, body: rpcErrorText(idText, message, mcp) };
}

const request = z.object({
  jsonrpc: z.literal("2.0"),
  id: z.union([z.string(), z.number()]),
  method: z.string().min(1),
});
const notification = z.object({ jsonrpc: z.literal("2.0"), id: z.undefined().optional(), method: z.string().min(1) });

/** The reason to reject a request without reading its body; undefined if the body decides. */
export function rpcRefusal({ method, path }: RequestHead): RpcReply | undefined {
  const place = path.split("?", 1)[0];
  if (place !== "/mcp" && place !== "/mcp/") return refusal(404, `${OLDER} supports no subpaths`);
  if (method === "POST") return undefined;
  return refusal(405, `${OLDER} supports only POST: it has no sessions and no event stream`);
}

/** The call that a POST makes, or how it is answered when v1 cannot carry it. */
export function readRpcCall({ headers }: RequestHead, body: Uint8Array): RpcCall | RpcReply {
  const text = strictText(body);
  const value = text === undefined ? undefined : parse(text);
  if (text === undefined || value === undefined) return refusal(400, "the body is not JSON");
  if (Array.isArray(value)) return refusal(400, `${OLDER} does not support batches; send one message per request`);
  const call = request.safeParse(value);
  if (call.success) {
    const { id, method } = call.data;
    return { id, idText: idTextOf(text), method: method.slice(0, NAME_MAX), token: bearerOf(headers), text };
  }
  const parsed = notification.safeParse(value);
  // Every call is a session of its own there, so nothing is lost with this one, and no client could go on without it.
  if (parsed.success && parsed.data.method === "notifications/initialized")
    return { status: 202, headers: [], body: "" };
  if (parsed.success)
    return refusal(
      501,
      `${OLDER} does not support notifications: ${parsed.data.method.slice(0, NAME_MAX)} was dropped`,
    );
  if (isObject(value) && !("method" in value) && ("result" in value || "error" in value))
    return refusal(501, `${OLDER} does not support responses: its server cannot send requests`);
  return refusal(400, "the body is not a JSON-RPC 2.0 request");
}

const OLDER = "a 0.9 relay";

/** The request cannot be carried on v1, and was not sent. */
function refusal(status: number, message: string): RpcReply {
  return errorReply(status, "null", message, "MCP_SCHEMA_ERROR");
}

/**
 * The response in `text`, parsed as `value`, for the waiting end: unchanged, or, for an error without an ID, with the
 * request's ID. Undefined if it is not the response to this request.
 */
export function responseTo({ id, idText }: AwaitedReply, text: string, value: unknown): string | undefined {
  if (!isObject(value) || "method" in value) return undefined;
  const isError = isObject(value["error"]);
  if (!isError && !("result" in value)) return undefined;
  if (value["id"] === id) return text;
  // HTTP identifies the failed request; frames do not.
  const error = isError && (value["id"] ?? null) === null ? spanOf(text, ["error"]) : undefined;
  return error && `{"jsonrpc":"2.0","id":${idText},"error":${text.slice(...error)}}`;
}

/** The id at the top of a message, as it was written. */
export function idTextOf(text: string): string {
  const span = spanOf(text, ["id"]);
  return span === undefined ? "null" : text.slice(...span);
}

/** The value of a JSON text; undefined when it is none. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Bytes as text; undefined if they are not UTF-8, because no text is equivalent. */
export function strictText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function bearerOf(headers: HeaderList): string | undefined {
  return /^bearer +(\S.*)$/i.exec(headerOf(headers, "authorization") ?? "")?.[1]?.trim();
}
