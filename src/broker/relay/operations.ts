// The operations of MCP relays. What passes is between the caller and the relay's provider; the broker adds its errors.
import { z } from "zod";
import type { Content, Operation, Parameter, Reply } from "../../modules/route.ts";

const message = z
  .looseObject({
    jsonrpc: z.literal("2.0"),
    id: z.union([z.string(), z.number()]).optional(),
    method: z.string().optional(),
  })
  .meta({ id: "JsonRpcMessage", description: "A JSON-RPC request, notification or response." });

const call: Content = {
  type: "application/json",
  schema: message,
  example: { jsonrpc: "2.0", id: 1, method: "tools/list", params: {} },
};
const answer: Content = {
  type: "application/json",
  schema: message,
  example: { jsonrpc: "2.0", id: 1, result: { tools: [] } },
};
const events: Content = {
  type: "text/event-stream",
  schema: z.string(),
  example: 'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{"tools":[]}}\n\n',
};

const relay: Parameter = { name: "id", in: "path", description: "Relay ID.", example: "weather" };
const session: Parameter = {
  name: "Mcp-Session-Id",
  in: "header",
  description: "Session ID, if the provider assigned one.",
};
const version: Parameter = {
  name: "MCP-Protocol-Version",
  in: "header",
  description: "MCP protocol version.",
  example: "2025-11-25",
};
const accept: Parameter = {
  name: "Accept",
  in: "header",
  description: "`application/json, text/event-stream`, as the protocol requires.",
};

const FAILURES = [
  "unauthorized",
  "forbidden",
  "session_not_found",
  "not_found",
  "limit_exceeded",
  "provider_unavailable",
  "draining",
  "upstream_error",
  "timeout",
] as const;

const otherwise: Reply = { description: "Any other response is the provider's own, including headers and body." };

const THROUGH = "MCP's Streamable HTTP. The provider's response is forwarded unchanged, including status and headers.";

/** By the method they are asked with. */
export const RELAY_OPERATIONS = {
  POST: {
    summary: "Send a message to a relay",
    description: THROUGH,
    parameters: [relay, accept, session, version],
    request: { content: [call] },
    responses: {
      200: { description: "The response, or events that end with it.", content: [answer, events] },
      202: { description: "The notification was accepted." },
    },
    otherwise,
    failures: [...FAILURES, "too_large", "request_timeout", "overloaded"],
  },
  GET: {
    summary: "Open a relay's event stream",
    description: `${THROUGH} The stream stays open for messages that the provider initiates.`,
    parameters: [relay, accept, session, version],
    responses: { 200: { description: "The provider's events.", content: [events] } },
    otherwise,
    failures: FAILURES,
  },
  DELETE: {
    summary: "End a session with a relay",
    parameters: [relay, session, version],
    responses: { 200: { description: "The session has ended." } },
    otherwise,
    failures: FAILURES,
  },
  OPTIONS: {
    summary: "Get the options of a relay's provider",
    parameters: [relay],
    responses: { 200: { description: "The provider's response." }, 204: { description: "The provider's response." } },
    otherwise,
    failures: FAILURES,
  },
} satisfies Record<string, Operation>;

export const METADATA_OPERATION: Operation = {
  summary: "Get a relay's protected resource metadata",
  description:
    "Protected resource metadata (RFC 9728) of a relay whose provider checks the callers' tokens, with the relay's public address.",
  parameters: [relay],
  responses: {
    200: {
      description: "The metadata.",
      content: [
        {
          type: "application/json",
          schema: z.looseObject({ resource: z.string() }),
          example: {
            resource: "https://broker.example/api/mcp/id/weather",
            authorization_servers: ["https://login.example"],
          },
        },
      ],
    },
  },
  failures: ["forbidden", "not_found", "provider_unavailable", "draining", "upstream_error"],
};
