// The official SDK at both ends: a private server with sessions over Streamable HTTP, and its clients.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { type EventStore, StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { ClientCapabilities, JSONRPCMessage } from "@modelcontextprotocol/sdk/types.js";
import { Changes } from "../time/until.ts";

export interface SdkServerOptions {
  /** Makes the server of one session. */
  build: (server: McpServer) => void;
  /** Lets clients resume streams. */
  resumable?: boolean;
  /** Answers with JSON where it can, instead of events. */
  json?: boolean;
}

/** A server of the SDK at /mcp on a free port of this machine. */
export class SdkServer {
  /** By their ids. */
  readonly sessions = new Map<string, { server: McpServer; transport: StreamableHTTPServerTransport }>();
  /** Sessions that clients have ended. */
  ended = 0;
  /** Streams that are open for whoever listens. */
  listening = 0;
  readonly #changes = new Changes();
  readonly #http = createServer((message, out) => void this.#serve(message, out));

  private constructor(private readonly options: SdkServerOptions) {
    this.#http.requestTimeout = 0;
  }

  static async start(options: SdkServerOptions): Promise<SdkServer> {
    const server = new SdkServer(options);
    await new Promise<void>(resolve => server.#http.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url(): string {
    const address = this.#http.address();
    if (address === null || typeof address === "string") throw new Error("it does not listen");
    return `http://127.0.0.1:${address.port}/mcp`;
  }

  /** The only session. */
  get only(): McpServer {
    const [session, ...more] = this.sessions.values();
    if (session === undefined || more.length > 0) throw new Error(`${this.sessions.size} sessions`);
    return session.server;
  }

  when(holds: () => boolean, what: string): Promise<void> {
    return this.#changes.when(holds, what);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { server } of this.sessions.values()) await server.close();
    const closed = new Promise<void>(resolve => this.#http.close(() => resolve()));
    this.#http.closeAllConnections();
    await closed;
  }

  async #serve(message: IncomingMessage, out: ServerResponse): Promise<void> {
    const id = message.headers["mcp-session-id"];
    const known = typeof id === "string" ? this.sessions.get(id) : undefined;
    if (id !== undefined && known === undefined) {
      out.writeHead(404, { "content-type": "application/json" });
      out.end('{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}');
      return;
    }
    // It looks for its word on everything else itself; a client without a session may only begin one.
    const transport = known?.transport ?? (await this.#open());
    if (message.method === "GET" && known !== undefined) {
      this.listening++;
      this.#changes.notify();
      out.once("close", () => {
        this.listening--;
        this.#changes.notify();
      });
    }
    await transport.handleRequest(message, out);
  }

  async #open(): Promise<StreamableHTTPServerTransport> {
    const server = new McpServer({ name: "test", version: "1" }, { capabilities: { logging: {} } });
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => crypto.randomUUID(),
      onsessioninitialized: id => {
        this.sessions.set(id, { server, transport });
      },
      onsessionclosed: id => {
        this.sessions.delete(id);
        this.ended++;
      },
      ...(this.options.resumable && { eventStore: new EventLog() }),
      ...(this.options.json && { enableJsonResponse: true }),
    });
    this.options.build(server);
    await server.connect(asTransport(transport));
    return transport;
  }
}

/** Every event, in order; the SDK's own example mixes up those of one millisecond. */
class EventLog implements EventStore {
  readonly #events: { streamId: string; message: JSONRPCMessage }[] = [];

  async storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    return String(this.#events.push({ streamId, message }));
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const last = Number(lastEventId);
    const { streamId } = this.#events[last - 1] ?? { streamId: "" };
    for (const [at, event] of this.#events.entries())
      if (at >= last && event.streamId === streamId) await send(String(at + 1), event.message);
    return streamId;
  }
}

/** The SDK's own classes do not fit its interface where absent is told from undefined. */
function asTransport(transport: object): Transport {
  return transport as Transport;
}

/** A client that has begun a session at this address. */
export async function connectClient(
  url: string,
  options: {
    capabilities?: ClientCapabilities;
    headers?: Record<string, string>;
    prepare?: (client: Client) => void;
  } = {},
): Promise<{ client: Client; transport: StreamableHTTPClientTransport }> {
  const { capabilities = {}, headers = {}, prepare } = options;
  const client = new Client({ name: "test", version: "1" }, { capabilities });
  prepare?.(client);
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers },
    reconnectionOptions: {
      initialReconnectionDelay: 1,
      maxReconnectionDelay: 1,
      reconnectionDelayGrowFactor: 1,
      // The test decides how long it may take.
      maxRetries: 100_000,
    },
  });
  await client.connect(asTransport(transport));
  return { client, transport };
}
