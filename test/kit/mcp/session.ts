// A client of MCP's session era with a socket for every request, so that a test sees what came, whole or cut.
import { Call, type CallAnswer, call } from "../http/call.ts";
import { headerOf, MCP_HEADERS, rpc } from "./world.ts";

const PROTOCOL = "2025-11-25";

/** A message as JSON-RPC has it. */
export interface Message {
  id?: string | number | null;
  method?: string;
  params?: Record<string, unknown>;
  result?: { content?: { text?: string }[] } & Record<string, unknown>;
  error?: { code: number; message: string; data?: unknown };
}

/** The handshake's first message. */
export const HELLO = rpc(0, "initialize", {
  protocolVersion: PROTOCOL,
  capabilities: { sampling: {} },
  clientInfo: { name: "test", version: "1" },
});

export class McpSession {
  #id = 0;

  private constructor(
    readonly url: string,
    readonly id: string,
    private readonly credentials: Readonly<Record<string, string>>,
  ) {}

  /** Shakes hands; every request brings the credentials. */
  static async open(url: string, credentials: Readonly<Record<string, string>> = {}): Promise<McpSession> {
    const answer = await call(url, { headers: { ...MCP_HEADERS, ...credentials }, body: HELLO });
    const id = headerOf(answer, "mcp-session-id");
    if (id === undefined || messagesOf(answer).at(-1)?.result === undefined)
      throw new Error(`no session: ${answer.status} ${answer.body}`);
    const session = new McpSession(url, id, credentials);
    await session.send({ method: "notifications/initialized" });
    return session;
  }

  get headers(): Record<string, string> {
    return { ...MCP_HEADERS, ...this.credentials, "Mcp-Session-Id": this.id, "Mcp-Protocol-Version": PROTOCOL };
  }

  /** Calls a tool; its progress is told. */
  call(name: string, args: object = {}, id: number | string = ++this.#id): Call {
    return this.post(rpc(id, "tools/call", { name, arguments: args, _meta: { progressToken: id } }));
  }

  post(body: string): Call {
    return new Call(this.url, { headers: this.headers, body });
  }

  /** Sends what is answered by nothing but a status. */
  send(message: object): Promise<CallAnswer> {
    return this.post(JSON.stringify({ jsonrpc: "2.0", ...message })).answer();
  }

  /** What a tool says. */
  async text(name: string, args: object = {}): Promise<string> {
    return textOf(await this.call(name, args).answer());
  }

  /** Opens the stream of what the server says by itself, or takes up another after an event. */
  listen(after?: string): Call {
    const headers = { ...this.headers, ...(after !== undefined && { "Last-Event-ID": after }) };
    return new Call(this.url, { method: "GET", headers });
  }

  end(): Promise<CallAnswer> {
    return call(this.url, { method: "DELETE", headers: this.headers });
  }
}

/** The messages of an answer, of its events or its only one. */
export function messagesOf(answer: Pick<CallAnswer, "headers" | "body">): Message[] {
  const text = answer.body.toString();
  if (headerOf(answer, "content-type")?.startsWith("text/event-stream") !== true)
    return text === "" ? [] : [JSON.parse(text)];
  return [...text.matchAll(/^data: (.+)$/gm)].map(([, data = ""]) => JSON.parse(data));
}

/** What a whole answer says in its last message; throws for any other. */
export function textOf(answer: CallAnswer): string {
  const text = messagesOf(answer).at(-1)?.result?.content?.[0]?.text;
  if (!answer.complete || text === undefined)
    throw new Error(
      `no result: ${answer.status}${answer.complete ? "" : ", cut"}, ${answer.body.toString().slice(-500)}`,
    );
  return text;
}
