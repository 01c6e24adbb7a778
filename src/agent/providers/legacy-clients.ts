// Clients of the HTTP+SSE transport of 2024-11-05: a GET opens their stream and names where their messages go.
import { asText } from "../../lib/bytes.ts";
import { headerOf } from "../../lib/http.ts";
import { sseEvent } from "../../lib/sse.ts";
import type { Clock } from "../../lib/time.ts";
import { SESSION_NOT_FOUND } from "./channels/message.ts";
import { limitedReader } from "./event-limit.ts";
import type { Provider, ProviderRequest } from "./provider.ts";
import { acceptsOf, refuse } from "./sessions/http-rules.ts";
import { messageEvent, SSE_HEADERS, SseBody } from "./sessions/sse-body.ts";

interface Client {
  body: SseBody;
  /** Its session with the provider, once that has given one. */
  session: string | undefined;
  left: AbortController;
}

/** A provider of Streamable HTTP that serves clients of the older transport too. */
export class LegacyClients implements Provider {
  readonly #clients = new Map<string, Client>();

  constructor(
    private readonly inner: Provider,
    /** Bytes of one message. */
    private readonly limit: number,
    private readonly clock: Clock,
  ) {}

  get sessions(): number {
    return this.inner.sessions;
  }

  fetch(request: ProviderRequest): Promise<Response> {
    if (isOpening(request)) return Promise.resolve(this.#open(request.signal));
    const id = request.method === "POST" ? /[?&]sessionId=([\w-]+)/.exec(request.rest)?.[1] : undefined;
    if (id === undefined) return this.inner.fetch(request);
    const client = this.#clients.get(id);
    if (client === undefined) return Promise.resolve(refuse(404, SESSION_NOT_FOUND, "Session not found"));
    // Responses arrive on the client's stream.
    void this.#pass(client, request).catch(error => client.body.cut(error));
    return Promise.resolve(new Response("Accepted", { status: 202 }));
  }

  probe(signal: AbortSignal): Promise<void> {
    return this.inner.probe(signal);
  }

  async close(): Promise<void> {
    for (const { body } of this.#clients.values()) body.end();
    await this.inner.close();
  }

  #open(signal: AbortSignal): Response {
    const id = crypto.randomUUID();
    const left = new AbortController();
    const body = new SseBody(this.clock, { gone: () => this.#gone(id) }, signal);
    if (!signal.aborted) this.#clients.set(id, { body, session: undefined, left });
    // Relative to the address that the client called, whatever proxy is in front.
    body.write(Buffer.from(sseEvent(`?sessionId=${id}`, { event: "endpoint" })));
    // The broker identifies the session's owner by this header.
    return new Response(body.stream, { headers: { ...SSE_HEADERS, "mcp-session-id": id } });
  }

  #gone(id: string): void {
    const client = this.#clients.get(id);
    this.#clients.delete(id);
    client?.left.abort();
    if (client?.session === undefined) return;
    const headers: [string, string][] = [["mcp-session-id", client.session]];
    const { signal } = new AbortController();
    this.inner.fetch({ method: "DELETE", rest: "", headers, body: null, signal }).catch(() => {});
  }

  async #pass(client: Client, request: ProviderRequest): Promise<void> {
    const { body, left } = client;
    const response = await this.inner.fetch({ ...request, rest: "", ...this.#as(client), body: request.body });
    const session = response.headers.get("mcp-session-id");
    if (client.session === undefined && session !== null) {
      client.session = session;
      const open = await this.inner.fetch({ method: "GET", rest: "", ...this.#as(client), body: null });
      void this.#pump(open, client).catch(error => body.cut(error));
    }
    if (!left.signal.aborted) await this.#pump(response, client);
  }

  #as({ session, left }: Client): Pick<ProviderRequest, "headers" | "signal"> {
    const headers: [string, string][] = [
      ["content-type", "application/json"],
      ["accept", "application/json, text/event-stream"],
    ];
    if (session !== undefined) headers.push(["mcp-session-id", session]);
    return { headers, signal: left.signal };
  }

  async #pump({ headers, body }: Response, client: Client): Promise<void> {
    if (body === null) return;
    if (headers.get("content-type")?.startsWith("text/event-stream") !== true) {
      const text = asText(new Uint8Array(await new Response(body).arrayBuffer()));
      if (text !== "") client.body.write(messageEvent(text));
      return;
    }
    const read = limitedReader(this.limit, data => {
      if (data !== "") client.body.write(messageEvent(data));
    });
    for await (const chunk of body) {
      read(chunk);
      // A client that reads slowly holds its server back.
      await client.body.room();
    }
  }
}

function isOpening(request: ProviderRequest): boolean {
  const { method, rest, headers } = request;
  const newer = ["mcp-session-id", "mcp-protocol-version", "last-event-id"];
  const named = newer.some(name => headerOf(headers, name) !== undefined);
  return method === "GET" && (rest === "" || rest === "/") && !named && acceptsOf(request).events;
}
