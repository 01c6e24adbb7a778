// Streamable HTTP by hand: what a client sends and gets, as it is on the wire.

import { until } from "../time/until.ts";
import { type Reach, URL_OF_PROVIDER } from "./provider.ts";

export interface WireEvent {
  id: string | undefined;
  data: string;
}

/** The events of an answer, one after the other. */
export class Events {
  readonly #reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(response: Response) {
    if (response.body === null) throw new Error(`no body: ${response.status}`);
    this.#reader = response.body.getReader();
  }

  /** The next event that has data, or undefined at the end. */
  async next(): Promise<WireEvent | undefined> {
    for (;;) {
      const event = await this.nextOfAny();
      if (event === undefined || event.data !== "") return event;
    }
  }

  /** The next event, also one without data. */
  async nextOfAny(): Promise<WireEvent | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end !== -1) {
        const lines = this.#text.slice(0, end).split("\n");
        this.#text = this.#text.slice(end + 2);
        const field = (name: string) => lines.find(line => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (lines.every(line => line.startsWith(":"))) continue;
        return { id: field("id"), data: field("data") ?? "" };
      }
      const { done, value } = await until(this.#reader.read(), "an event");
      if (done) return undefined;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  /** The messages of all events up to the end. */
  async rest(): Promise<Record<string, unknown>[]> {
    const messages: Record<string, unknown>[] = [];
    for (let event = await this.next(); event !== undefined; event = await this.next())
      messages.push(JSON.parse(event.data));
    return messages;
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

const BOTH = "application/json, text/event-stream";

/** POSTs a body; an object becomes JSON. */
export function post(
  { fetch }: Pick<Reach, "fetch">,
  body: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(URL_OF_PROVIDER, {
    method: "POST",
    headers: { "content-type": "application/json", accept: BOTH, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

/** GETs an event stream of a session. */
export function listen(
  { fetch }: Pick<Reach, "fetch">,
  headers: Record<string, string>,
  signal?: AbortSignal,
): Promise<Response> {
  return fetch(URL_OF_PROVIDER, {
    headers: { accept: "text/event-stream", ...headers },
    ...(signal === undefined ? {} : { signal }),
  });
}

/** A request as JSON-RPC has it. */
export function rpc(id: string | number, method: string, params: object = {}): object {
  return { jsonrpc: "2.0", id, method, params };
}

/** Shakes hands and returns the headers that name the session. */
export async function openSession(reach: Reach, protocolVersion = "2025-06-18"): Promise<Record<string, string>> {
  const params = { protocolVersion, capabilities: {}, clientInfo: { name: "test", version: "1" } };
  const response = await post(reach, rpc("init", "initialize", params));
  const session = response.headers.get("mcp-session-id");
  if (session === null) throw new Error(`no session: ${response.status} ${await response.text()}`);
  await new Events(response).rest();
  const headers = { "mcp-session-id": session, "mcp-protocol-version": protocolVersion };
  await post(reach, { jsonrpc: "2.0", method: "notifications/initialized" }, headers);
  return headers;
}

/** The one message that answers a POST. */
export async function answerOf(response: Response): Promise<Record<string, unknown>> {
  if (response.headers.get("content-type") === "application/json") {
    const answer: Record<string, unknown> = JSON.parse(await response.text());
    return answer;
  }
  const messages = await new Events(response).rest();
  return messages.at(-1) ?? {};
}
