// What the `mcp` tool of OpenAI's Responses API sends to a server, as servers have logged it. In the session era it
// initialises a session, lists the tools in it, and then calls tools without naming it.
import { z } from "zod";

const client = { name: "openai-mcp", version: "1.0.0" };

const Message = z.object({
  result: z.record(z.string(), z.unknown()).optional(),
  error: z.object({ code: z.number(), message: z.string() }).optional(),
});

/** What came back for one POST. */
export interface Answer extends z.infer<typeof Message> {
  readonly status: number;
  readonly session: string | null;
}

export interface Call {
  tool: string;
  arguments?: Record<string, unknown>;
}

/** A JSON answer, or the last event of a stream; undefined for none. */
function messageIn(text: string): unknown {
  const data = text.includes("data:") ? text.split(/\r?\n/).findLast(line => line.startsWith("data: {")) : text;
  return data?.trim() ? JSON.parse(data.replace(/^data: /, "")) : {};
}

async function post(url: string, body: object, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "user-agent": `${client.name}/${client.version}`,
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: "2.0", ...body }),
    keepalive: false,
  });
  const { result, error } = Message.parse(messageIn(await response.text()));
  return {
    status: response.status,
    session: response.headers.get("mcp-session-id"),
    ...(result === undefined ? {} : { result }),
    ...(error === undefined ? {} : { error }),
  };
}

/** The session era: initialize, tools/list, then a tools/call that belongs to no session. */
export async function replaySession(url: string, call: Call): Promise<Record<"hello" | "list" | "call", Answer>> {
  const protocolVersion = "2025-11-25";
  const hello = await post(url, {
    id: 0,
    method: "initialize",
    params: { protocolVersion, capabilities: {}, clientInfo: client },
  });
  const named = {
    "mcp-protocol-version": protocolVersion,
    ...(hello.session === null ? {} : { "mcp-session-id": hello.session }),
  };
  await post(url, { method: "notifications/initialized" }, named);
  const list = await post(url, { id: 1, method: "tools/list" }, named);
  const params = { name: call.tool, arguments: call.arguments ?? {} };
  return {
    hello,
    list,
    call: await post(url, { id: 2, method: "tools/call", params }, { "mcp-protocol-version": protocolVersion }),
  };
}

/** The stateless era: server/discover, tools/list, tools/call. */
export async function replayStateless(url: string, call: Call): Promise<Record<"hello" | "list" | "call", Answer>> {
  const version = "2026-07-28";
  const _meta = {
    "io.modelcontextprotocol/protocolVersion": version,
    "io.modelcontextprotocol/clientInfo": client,
    "io.modelcontextprotocol/clientCapabilities": {},
  };
  const send = (id: number, method: string, params: { name?: string; arguments?: Record<string, unknown> } = {}) =>
    post(
      url,
      { id, method, params: { ...params, _meta } },
      {
        "mcp-protocol-version": version,
        "mcp-method": method,
        ...(params.name === undefined ? {} : { "mcp-name": params.name }),
      },
    );
  return {
    hello: await send(0, "server/discover"),
    list: await send(1, "tools/list"),
    call: await send(2, "tools/call", { name: call.tool, arguments: call.arguments ?? {} }),
  };
}
