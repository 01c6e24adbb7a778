// The names under which calls of MCP are counted, at either end.
import type { RpcMessage } from "./json-rpc.ts";

/** The methods of all MCP versions, and placeholders for messages without a method. */
export const MCP_METHODS: ReadonlySet<string> = new Set([
  "initialize",
  "ping",
  "server/discover",
  "completion/complete",
  "elicitation/create",
  "logging/setLevel",
  "prompts/get",
  "prompts/list",
  "resources/list",
  "resources/read",
  "resources/subscribe",
  "resources/templates/list",
  "resources/unsubscribe",
  "roots/list",
  "sampling/createMessage",
  "subscriptions/listen",
  "tasks/cancel",
  "tasks/get",
  "tasks/list",
  "tasks/result",
  "tasks/update",
  "tools/call",
  "tools/list",
  "notifications/cancelled",
  "notifications/initialized",
  "notifications/progress",
  "notifications/roots/list_changed",
  "metadata",
  "batch",
  "response",
  "DELETE",
  "GET",
  "OPTIONS",
  "POST",
]);

/** The name of a call: its method, else the kind of message or the HTTP method. */
export function callName(httpMethod: string, { kind, method }: RpcMessage): string {
  if (httpMethod !== "POST" || kind === "unread") return httpMethod;
  return kind === "request" || kind === "notification" ? method : kind;
}
