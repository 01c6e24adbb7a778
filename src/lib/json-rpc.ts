// The parts of a JSON-RPC message that a proxy needs.

/** Maximum size of a message that is parsed, in bytes; larger ones are forwarded unread. */
const READ_BYTES = 1024 * 1024;

export interface RpcMessage {
  /** `unread` is too large or no JSON-RPC; a batch may hold anything. */
  kind: "request" | "notification" | "response" | "batch" | "unread";
  /** Of a request or notification, else "". */
  method: string;
  /** ID for a response: null if there is none, or none that JavaScript can represent. */
  id: string | number | null;
}

const UNREAD: RpcMessage = { kind: "unread", method: "", id: null };

/** Reads a small message; never throws. */
export function readRpc(bytes: Uint8Array): RpcMessage {
  if (bytes.length === 0 || bytes.length > READ_BYTES) return UNREAD;
  const message = parse(bytes);
  if (typeof message !== "object" || message === null) return UNREAD;
  if (Array.isArray(message)) return { ...UNREAD, kind: "batch" };
  const given = "id" in message ? message.id : null;
  const id = typeof given === "string" || (typeof given === "number" && Number.isSafeInteger(given)) ? given : null;
  if (!("method" in message)) return "id" in message ? { kind: "response", method: "", id } : UNREAD;
  if (typeof message.method !== "string") return { ...UNREAD, id };
  return { kind: "id" in message ? "request" : "notification", method: message.method, id };
}

/** True for a message that may start work. Responses and notifications must pass, so that running work can finish. */
export function asks({ kind }: RpcMessage): boolean {
  return kind !== "notification" && kind !== "response";
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8"));
  } catch {
    return undefined;
  }
}
