import { elementsOf, spanOf } from "../../../lib/json-span.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** One JSON-RPC message: its text as it was written, on one line, and a parsed copy to look into. */
export interface Message {
  readonly kind: "request" | "notification" | "response";
  readonly text: string;
  readonly value: JsonObject;
  /** The id as JSON, digits beyond 2^53 included; a message without one has none. */
  readonly id: string | undefined;
  /** Of requests and notifications. */
  readonly method: string;
}

/** JSON-RPC's own error codes, and those that MCP's servers use. */
export const PARSE_ERROR = -32700;
export const INVALID_REQUEST = -32600;
export const METHOD_NOT_FOUND = -32601;
export const INVALID_PARAMS = -32602;
export const SERVER_ERROR = -32000;
export const SESSION_NOT_FOUND = -32001;
export const HEADER_MISMATCH = -32020;
export const MISSING_CAPABILITY = -32021;
export const UNSUPPORTED_VERSION = -32022;

/** Where MCP keeps the ids that tie messages together. */
export const RELATED_TASK = "io.modelcontextprotocol/related-task";
export const SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId";

/** A text that is not JSON, or not JSON-RPC. */
export class MalformedMessage extends Error {
  override readonly name = "MalformedMessage";
}

/** Reads a text: one message, or an array of them. Throws MalformedMessage on anything else. */
export function readMessages(text: string): { batch: boolean; messages: Message[] } {
  const value = parse(text);
  // Where JSON is sound, line ends stand between its tokens only.
  const line = LINE_END.test(text) ? text.replace(LINE_ENDS, " ").trim() : text;
  if (!Array.isArray(value)) return { batch: false, messages: [messageOf(line, value)] };
  const texts = elementsOf(line);
  return { batch: true, messages: value.map((element: unknown, at) => messageOf(texts[at] ?? "", element)) };
}

const LINE_END = /[\r\n]/;
const LINE_ENDS = /[\r\n]+/g;

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new MalformedMessage("Parse error: Invalid JSON");
  }
}

function messageOf(text: string, value: unknown): Message {
  if (!isObject(value) || value["jsonrpc"] !== "2.0") throw new MalformedMessage(NOT_A_MESSAGE);
  const { id, method } = value;
  const hasId = id !== undefined && id !== null;
  if (hasId && typeof id !== "string" && typeof id !== "number") throw new MalformedMessage(NOT_A_MESSAGE);
  const key = hasId ? idText(text, id) : undefined;
  if (typeof method === "string") {
    if (id === null) throw new MalformedMessage(NOT_A_MESSAGE);
    return { kind: hasId ? "request" : "notification", text, value, id: key, method };
  }
  if (method !== undefined || !("result" in value || "error" in value)) throw new MalformedMessage(NOT_A_MESSAGE);
  return { kind: "response", text, value, id: key, method: "" };
}

const NOT_A_MESSAGE = "Parse error: Invalid JSON-RPC message";

function idText(text: string, id: string | number): string {
  if (typeof id === "string" || Number.isSafeInteger(id)) return JSON.stringify(id);
  const span = spanOf(text, ["id"]);
  return span === undefined ? JSON.stringify(id) : text.slice(...span);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value at a path through objects. */
export function at(value: unknown, ...path: string[]): unknown {
  let here = value;
  for (const key of path) here = isObject(here) && Object.hasOwn(here, key) ? here[key] : undefined;
  return here;
}

/** A string or number as the JSON that stands for it; anything else is no key. */
export function keyOf(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? JSON.stringify(value) : undefined;
}

/** The number that a JSON id or token stands for, when a server has made a string of it, as some do. */
export function unquoted(key: string): string | undefined {
  const [, digits] = /^"(-?\d{1,15})"$/.exec(key) ?? [];
  return digits;
}

/** The text of an error response; `id` is JSON. */
export function errorText(id: string | undefined, code: number, message: string, data?: unknown): string {
  const error = JSON.stringify(data === undefined ? { code, message } : { code, message, data });
  return `{"jsonrpc":"2.0","error":${error},"id":${id ?? "null"}}`;
}

/** True for a response with a result. */
export function hasResult(message: Message): boolean {
  return "result" in message.value;
}
