// A private MCP server over Streamable HTTP, in the test's process: sessions, and calls that the test holds.
import { AfterFirst } from "../backend/after-first.ts";
import { bytes, type Respond, startBackend, status, type TestBackend } from "../backend/backend.ts";
import type { RecordedRequest } from "../backend/record.ts";
import { Gate } from "../time/gate.ts";

const EVENTS = { "content-type": "text/event-stream" };

export interface ToolCall {
  id?: string | number;
  method?: string;
  params?: { name?: string; arguments?: Record<string, unknown>; _meta?: { progressToken?: string | number } };
}

/** Answers calls of one tool. */
export type Tool = (call: ToolCall) => Respond;

export class HttpTools implements AsyncDisposable {
  /** What is held goes on with a pass each. */
  readonly gate = new Gate();
  readonly sessions = new Set<string>();

  private constructor(
    readonly backend: TestBackend,
    private readonly more: Readonly<Record<string, Tool>>,
  ) {
    backend.respond = (request, recorded) => this.#respond(recorded)(request, recorded);
  }

  /** With these tools beside its own. */
  static async start(more: Readonly<Record<string, Tool>> = {}): Promise<HttpTools> {
    return new HttpTools(await startBackend(), more);
  }

  get url(): string {
    return `${this.backend.origin}/mcp`;
  }

  /** Calls of a tool so far, in order of arrival. */
  calls(tool: string): RecordedRequest[] {
    return this.backend.requests.filter(({ body }) => body?.includes(`"name":"${tool}"`) === true);
  }

  /** Resolves when a tool has been called `n` times in all. */
  called(tool: string, n: number): Promise<void> {
    return this.backend.when(() => this.calls(tool).length >= n, `${n} calls of ${tool}`);
  }

  #respond(recorded: RecordedRequest): Respond {
    const { method, headers } = recorded;
    const listens = headers.get("accept")?.includes("text/event-stream") === true;
    // The relay looks whether somebody is there.
    if (method === "GET" && !listens) return status(405);
    const message: ToolCall = method === "POST" ? JSON.parse(recorded.body ?? "{}") : {};
    if (message.method === "initialize") return this.#initialize(message);
    const session = headers.get("mcp-session-id") ?? "";
    if (!this.sessions.has(session)) return status(404, failure(message, -32_001, "no such session"));
    if (method === "DELETE") return this.#end(session);
    if (method === "GET") return bytes([notification, ""], EVENTS, 200, new AfterFirst(new Gate()));
    if (message.method !== "tools/call") return status(202);
    return this.#call(message);
  }

  #initialize({ id, params }: ToolCall): Respond {
    const session = crypto.randomUUID();
    this.sessions.add(session);
    const result = { ...params, serverInfo: { name: "tools", version: "1" }, capabilities: { tools: {} } };
    return status(200, { jsonrpc: "2.0", id, result }, { "mcp-session-id": session });
  }

  #end(session: string): Respond {
    this.sessions.delete(session);
    return status(200);
  }

  #call(call: ToolCall): Respond {
    const name = call.params?.name ?? "";
    const tool = this.more[name] ?? this.#tools[name];
    return tool === undefined ? status(200, failure(call, -32_602, `no tool ${name}`)) : tool(call);
  }

  readonly #tools: Readonly<Record<string, Tool>> = {
    echo: call => status(200, answerTo(call, `${argument(call, "text")}`)),
    hold: call => {
      const events = [progress(call, 1), answerTo(call, `held ${argument(call, "name")}`)];
      return bytes(events.map(event), EVENTS, 200, new AfterFirst(this.gate));
    },
    /** Tells its progress, with a pass for each step and one for the answer. */
    steps: call => {
      const steps = Array.from({ length: Number(argument(call, "steps")) }, (_, step) => progress(call, step + 1));
      return bytes([...steps, answerTo(call, "done")].map(event), EVENTS, 200, this.gate);
    },
    /** Says nothing at all while it is held. */
    silent: call => async (request, recorded) => {
      await this.gate.wait(request.signal);
      return status(200, answerTo(call, "at last"))(request, recorded);
    },
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backend.stop();
  }
}

export const event = (message: object): string => `event: message\ndata: ${JSON.stringify(message)}\n\n`;
const notification = event({
  jsonrpc: "2.0",
  method: "notifications/message",
  params: { level: "info", data: "hello" },
});

function progress({ params }: ToolCall, step: number): object {
  const progressToken = params?._meta?.progressToken;
  return { jsonrpc: "2.0", method: "notifications/progress", params: { progressToken, progress: step } };
}

export function answerTo({ id }: ToolCall, text: string): object {
  return { jsonrpc: "2.0", id, result: { content: [{ type: "text", text }] } };
}

function argument({ params }: ToolCall, name: string): unknown {
  return params?.arguments?.[name];
}

function failure({ id = undefined }: ToolCall, code: number, message: string): object {
  return { jsonrpc: "2.0", id: id ?? null, error: { code, message } };
}
