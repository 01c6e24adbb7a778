// The rules of the stateless era (2026-07-28 and later) for HTTP headers, which a stdio server cannot see.
import { headerOf } from "../../../lib/http.ts";
import {
  at,
  HEADER_MISMATCH,
  INVALID_PARAMS,
  INVALID_REQUEST,
  isObject,
  METHOD_NOT_FOUND,
  type Message,
  MISSING_CAPABILITY,
  PARSE_ERROR,
  UNSUPPORTED_VERSION,
} from "../channels/message.ts";
import { CLIENT_CAPABILITIES, isStateless, PROTOCOL_VERSION } from "../channels/versions.ts";
import type { ProviderRequest } from "../provider.ts";
import { decodedHeader, mismatch } from "./header-values.ts";
import { refuse } from "./http-rules.ts";

/** The methods whose target is repeated in an Mcp-Name header, and the parameter with the target. */
const NAMED_BY: ReadonlyMap<string, string> = new Map([
  ["tools/call", "name"],
  ["prompts/get", "name"],
  ["resources/read", "uri"],
  ["tasks/get", "taskId"],
  ["tasks/update", "taskId"],
  ["tasks/cancel", "taskId"],
]);

/** The statuses with which errors of the protocol itself are answered; a tool's own errors are 200. */
const STATUS: ReadonlyMap<number, number> = new Map([
  [PARSE_ERROR, 400],
  [INVALID_REQUEST, 400],
  [METHOD_NOT_FOUND, 404],
  [HEADER_MISMATCH, 400],
  [MISSING_CAPABILITY, 400],
  [UNSUPPORTED_VERSION, 400],
]);

/** The HTTP status of a JSON response. */
export function statusOf(answer: Message): number {
  const code = at(answer.value, "error", "code");
  return (typeof code === "number" ? STATUS.get(code) : undefined) ?? 200;
}

function claimOf(message: Message): unknown {
  return at(message.value, "params", "_meta", PROTOCOL_VERSION);
}

/** True if a POST belongs to the stateless era: by its body or, if that is not decisive, by its header. */
export function isStatelessPost(request: ProviderRequest, messages: readonly Message[]): boolean {
  if (messages.some(message => claimOf(message) !== undefined)) return true;
  const version = headerOf(request.headers, "mcp-protocol-version")?.trim();
  return version !== undefined && isStateless(version);
}

/** The error for a POST that violates the rules; undefined if it is valid. */
export function statelessRefusal(
  request: ProviderRequest,
  batch: boolean,
  message: Message,
  supported: readonly string[],
): Response | undefined {
  if (batch) return refuse(400, INVALID_REQUEST, "Bad Request: JSON-RPC batches are not supported by this endpoint");
  if (message.kind === "response") {
    return refuse(400, INVALID_REQUEST, "Bad Request: JSON-RPC responses cannot be posted to this endpoint");
  }
  return envelopeRefusal(message) ?? versionRefusal(request, message, supported) ?? headerRefusal(request, message);
}

function envelopeRefusal(message: Message): Response | undefined {
  // Notifications carry no claim of their own.
  if (message.kind === "notification" && claimOf(message) === undefined) return undefined;
  const meta = at(message.value, "params", "_meta");
  const bad =
    meta === undefined
      ? "_meta"
      : typeof at(meta, PROTOCOL_VERSION) !== "string"
        ? PROTOCOL_VERSION
        : message.kind === "request" && !isObject(at(meta, CLIENT_CAPABILITIES))
          ? CLIENT_CAPABILITIES
          : undefined;
  if (bad === undefined) return undefined;
  const text = `Invalid params: the request lacks the required per-request envelope key ${bad}`;
  return refuse(400, INVALID_PARAMS, text, { id: message.id });
}

function versionRefusal(
  request: ProviderRequest,
  message: Message,
  supported: readonly string[],
): Response | undefined {
  const header = headerOf(request.headers, "mcp-protocol-version")?.trim();
  const claim = claimOf(message) ?? header;
  if (header !== undefined && header !== claim) {
    return mismatch(message, header, `the body has protocol version ${claim}, the header has ${header}`);
  }
  if (typeof claim === "string" && !supported.includes(claim)) {
    const data = { supported, requested: claim };
    return refuse(400, UNSUPPORTED_VERSION, `Unsupported protocol version: ${claim}`, { id: message.id, data });
  }
  if (header !== undefined || message.kind === "notification") return undefined;
  return mismatch(message, "(missing)", "the required MCP-Protocol-Version header is missing");
}

function headerRefusal(request: ProviderRequest, message: Message): Response | undefined {
  const method = headerOf(request.headers, "mcp-method")?.trim();
  if (method !== undefined && method !== message.method) {
    return mismatch(message, method, `the body has method ${message.method}, the Mcp-Method header has ${method}`);
  }
  if (message.kind === "notification") return undefined;
  if (method === undefined) return mismatch(message, "(missing)", "the required Mcp-Method header is missing");
  const parameter = NAMED_BY.get(message.method);
  if (parameter === undefined) return undefined;
  const wanted = at(message.value, "params", parameter);
  const name = headerOf(request.headers, "mcp-name")?.trim();
  if (typeof wanted !== "string") return undefined;
  if (name === undefined) return mismatch(message, "(missing)", "the required Mcp-Name header is missing");
  if (decodedHeader(name) === wanted) return undefined;
  return mismatch(message, name, `the body has ${parameter} ${wanted}, the Mcp-Name header has ${name}`);
}
