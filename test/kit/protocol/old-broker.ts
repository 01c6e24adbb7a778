// A broker of the 0.9 series, as far as its agents see it: a WebSocket that picks no subprotocol and speaks wire v1.

import { Changes } from "../time/until.ts";
import type { Message } from "./hand.ts";

export class OldBroker {
  /** Every JSON message of the agent, in order. */
  readonly messages: Message[] = [];
  /** The upgrade requests' headers. */
  readonly upgrades: Headers[] = [];
  /** How connections ended. */
  readonly closed: { code: number; reason: string }[] = [];

  readonly #changes = new Changes();
  readonly #server: Bun.Server<undefined>;
  #socket: Bun.ServerWebSocket<undefined> | undefined;

  constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) => {
        this.upgrades.push(request.headers);
        this.#changes.notify();
        // Left to itself Bun picks the first subprotocol that is offered.
        const picksNone = { headers: { "sec-websocket-protocol": "" } };
        return server.upgrade(request, picksNone) ? undefined : new Response("no WebSocket", { status: 426 });
      },
      websocket: {
        open: socket => {
          this.#socket = socket;
          this.#changes.notify();
        },
        message: (_socket, message) => {
          this.messages.push(JSON.parse(String(message)));
          this.#changes.notify();
        },
        close: (_socket, code, reason) => {
          this.closed.push({ code, reason });
          this.#changes.notify();
        },
      },
    });
  }

  get connectUrl(): string {
    return `ws://127.0.0.1:${this.#server.port}/api/llm/connect`;
  }

  send(message: object): void {
    this.#socket?.sendText(JSON.stringify(message));
  }

  /** Asks the agent for something, with the body in base64 as v1 has it. */
  request(request_id: string, path: string, body: string, headers: Record<string, string> = {}): void {
    const bytes = Buffer.from(body).toString("base64");
    this.send({
      type: "http_proxy_request",
      request_id,
      method: "POST",
      path,
      headers: { "Content-Type": "application/json", ...headers },
      stream: body.includes('"stream":true'),
      body: bytes,
    });
  }

  /** The nth message of this type, once it is here. */
  async message(type: string, n = 1): Promise<Message> {
    const found = (): Message[] => this.messages.filter(message => message.type === type);
    await this.when(() => found().length >= n, `${type} number ${n}`);
    return found()[n - 1]!;
  }

  /** The agent's whole answer to a request. */
  async answer(request_id: string): Promise<{ head: Message; body: string; end: Message }> {
    const mine = (type: string): Message[] =>
      this.messages.filter(message => message["request_id"] === request_id && message.type === type);
    await this.when(() => mine("http_proxy_response_end").length > 0, `the end of ${request_id}`);
    return {
      head: mine("http_proxy_response_headers")[0]!,
      body: this.body(request_id),
      end: mine("http_proxy_response_end")[0]!,
    };
  }

  /** What has arrived of an answer's body. */
  body(request_id: string): string {
    const chunks = this.messages.filter(
      message => message["request_id"] === request_id && message.type === "http_proxy_response_chunk",
    );
    return Buffer.concat(chunks.map(({ data }) => Buffer.from(String(data ?? ""), "base64"))).toString();
  }

  when(holds: () => boolean, what: string): Promise<void> {
    return this.#changes.when(holds, () => `${what}; messages ${JSON.stringify(this.messages).slice(-300)}`);
  }

  /** Closes the agent's connection. */
  drop(code = 1012, reason = ""): void {
    this.#socket?.close(code, reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.terminate();
    await this.#server.stop(true);
  }
}
