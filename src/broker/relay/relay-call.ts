import { asks, readRpc } from "../../lib/json-rpc.ts";
import { callName } from "../../lib/mcp-methods.ts";
import type { RequestBody } from "../http/body/body.ts";

/** Maximum length of a method name, in characters. */
const METHOD_MAX = 64;

/** The fields of a call that the broker reads for metrics, limits and errors; it never changes them. */
export interface RelayCall {
  /** The JSON-RPC method; the kind of message or the HTTP method where there is none. */
  method: string;
  id: string | number | null;
  /**
   * It begins no work: it listens, ends a session, or belongs to work that is under way, such as the answer to what a tool
   * has asked. That could not end if such were turned away, so it takes no call's place.
   */
  exemptFromSlots: boolean;
}

/** Reads a small call. Anything else is named after its HTTP method. */
export function readRelayCall(httpMethod: string, body: RequestBody): RelayCall {
  if (httpMethod !== "POST") return { method: httpMethod, id: null, exemptFromSlots: true };
  const message = readRpc(body.whole ? body.bytes : new Uint8Array(0));
  return {
    method: callName(httpMethod, message).slice(0, METHOD_MAX),
    id: message.id,
    exemptFromSlots: !asks(message),
  };
}
