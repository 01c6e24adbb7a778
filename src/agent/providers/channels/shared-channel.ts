import { NfrxError } from "../../../lib/errors.ts";
import { replaceValues, spanOf } from "../../../lib/json-span.ts";
import type { Channel, ChannelEvents, OpenChannel } from "./channel.ts";
import { CLIENT } from "./discovery.ts";
import { at, errorText, hasResult, keyOf, METHOD_NOT_FOUND, type Message, readMessages, unquoted } from "./message.ts";
import { SESSION_VERSIONS } from "./versions.ts";

/** A pending request: its owner, and its own ID and progress token, as JSON. */
interface Asked {
  client: SharedClient;
  id: string;
  token: string | undefined;
}

const ID = ["id"];
const TOKEN_OF_REQUEST = ["params", "_meta", "progressToken"];
const TOKEN_OF_PROGRESS = ["params", "progressToken"];
const REQUEST_OF_CANCEL = ["params", "requestId"];
const VERSION_OF_RESULT = ["result", "protocolVersion"];

/** Opens channels that all lead to one server, for a program that can run only once. It runs as long as one of them is open. */
export function sharedOpener(open: OpenChannel): OpenChannel {
  let server: SharedChannel | undefined;
  return events => {
    if (server === undefined || server.over) server = new SharedChannel(open);
    return server.join(events);
  };
}

/**
 * One server shared by several channels, with the routing of its messages. The relay is its only client and shakes
 * hands with it once.
 */
class SharedChannel {
  readonly #inner: Channel;
  readonly #clients = new Set<SharedClient>();
  readonly #asked = new Map<number, Asked>();
  /** The response to our handshake, and the channels that wait for it, with their IDs. */
  #greeting: Message | undefined;
  #waiting: { client: SharedClient; hello: Message }[] | undefined;
  #next = 1;
  #hello: number | undefined;
  #slow = new Set<SharedClient>();
  #closing: Promise<void> | undefined;
  #ended = false;

  constructor(open: OpenChannel) {
    this.#inner = open({
      message: message => this.#receive(message),
      overlong: id => this.#overlong(id),
      ended: reason => this.#end(reason),
    });
  }

  get over(): boolean {
    return this.#ended || this.#closing !== undefined;
  }

  join(events: ChannelEvents): Channel {
    const client = new SharedClient(this, events);
    this.#clients.add(client);
    return client;
  }

  /** A client has left; the last one ends the server. */
  leave(client: SharedClient): Promise<void> {
    this.#clients.delete(client);
    this.slow(client, false);
    for (const [number, { client: whose }] of this.#asked) if (whose === client) this.#forget(number);
    if (this.#clients.size > 0) return Promise.resolve();
    this.#closing ??= this.#inner.close();
    return this.#closing;
  }

  kill(): void {
    this.#inner.kill();
  }

  /** A shared server is read as long as one client reads its messages. */
  slow(client: SharedClient, slow: boolean): void {
    if (slow) this.#slow.add(client);
    else this.#slow.delete(client);
    if (this.#slow.size > 0 && this.#slow.size >= this.#clients.size) this.#inner.pause();
    else this.#inner.resume();
  }

  send(client: SharedClient, line: string): void {
    if (this.over) throw new NfrxError("upstream_error", "the MCP server has ended");
    for (const message of readMessages(line).messages) {
      if (message.method === "initialize" && message.id !== undefined) this.#greet(client, message);
      else if (message.kind === "request" && message.id !== undefined) this.#ask(client, message, message.id);
      else if (message.method === "notifications/cancelled") this.#cancel(client, message);
      // Already reported; and no request was sent to which this could be a response.
      else if (message.kind === "notification" && message.method !== "notifications/initialized")
        this.#inner.send(message.text);
    }
  }

  #ask(client: SharedClient, { text }: Message, id: string): void {
    const number = this.#next++;
    const span = spanOf(text, TOKEN_OF_REQUEST);
    this.#asked.set(number, { client, id, token: span === undefined ? undefined : text.slice(...span) });
    const changes = [
      [ID, `${number}`],
      [TOKEN_OF_REQUEST, `${number}`],
    ] as const;
    try {
      this.#inner.send(replaceValues(text, changes));
    } catch (error) {
      this.#asked.delete(number);
      throw error;
    }
  }

  #greet(client: SharedClient, hello: Message): void {
    if (this.#greeting !== undefined) return this.#welcome(client, hello, this.#greeting);
    if (this.#waiting !== undefined) {
      this.#waiting.push({ client, hello });
      return;
    }
    this.#waiting = [{ client, hello }];
    this.#hello = this.#next++;
    const asked = at(hello.value, "params", "protocolVersion");
    const protocolVersion = typeof asked === "string" ? asked : SESSION_VERSIONS[0];
    // Without capabilities: the server has no single client to send requests to.
    const params = { protocolVersion, capabilities: {}, clientInfo: CLIENT };
    this.#inner.send(JSON.stringify({ jsonrpc: "2.0", id: this.#hello, method: "initialize", params }));
  }

  #greeted(answer: Message): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = this.#hello = undefined;
    if (hasResult(answer)) {
      this.#greeting = answer;
      this.#inner.send('{"jsonrpc":"2.0","method":"notifications/initialized"}');
    }
    for (const { client, hello } of waiting) this.#welcome(client, hello, answer);
  }

  /** Answers a client's handshake like ours was answered, in the requested version if that is older. */
  #welcome(client: SharedClient, hello: Message, answer: Message): void {
    const asked = at(hello.value, "params", "protocolVersion");
    const agreed = at(answer.value, ...VERSION_OF_RESULT);
    const older = SESSION_VERSIONS.some(known => known === asked) && typeof agreed === "string" && `${asked}` < agreed;
    const changes: [readonly string[], string][] = [[ID, hello.id ?? "null"]];
    if (older) changes.push([VERSION_OF_RESULT, JSON.stringify(asked)]);
    const text = replaceValues(answer.text, changes);
    // As with a process, no response arrives before the call returns.
    queueMicrotask(() => client.receive(text));
  }

  #cancel(client: SharedClient, message: Message): void {
    const id = keyOf(at(message.value, "params", "requestId"));
    for (const [number, asked] of this.#asked) {
      if (asked.client === client && asked.id === id)
        this.#inner.send(replaceValues(message.text, [[REQUEST_OF_CANCEL, `${number}`]]));
    }
  }

  /** The client no longer waits for it, so the server can stop. */
  #forget(number: number): void {
    this.#asked.delete(number);
    if (this.over) return;
    const params = { requestId: number, reason: "the client disconnected" };
    try {
      this.#inner.send(JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params }));
    } catch {
      // It takes no more work; its end is reported next.
    }
  }

  #receive(message: Message): void {
    if (message.kind === "request") return this.#refuse(message);
    if (message.kind === "notification") return this.#notify(message);
    const number = numberOf(message.id);
    if (number === this.#hello) return this.#greeted(message);
    const asked = this.#asked.get(number);
    this.#asked.delete(number);
    asked?.client.receive(replaceValues(message.text, [[ID, asked.id]]));
  }

  #refuse(message: Message): void {
    const pong = `{"jsonrpc":"2.0","id":${message.id},"result":{}}`;
    const text =
      message.method === "ping"
        ? pong
        : errorText(message.id, METHOD_NOT_FOUND, "This server is shared: requests to the client are not supported");
    try {
      this.#inner.send(text);
    } catch {
      // It takes no more work; its end is reported next.
    }
  }

  #notify(message: Message): void {
    const params = message.value["params"];
    if (message.method === "notifications/progress") {
      const asked = this.#asked.get(numberOf(keyOf(at(params, "progressToken"))));
      if (asked?.token !== undefined)
        asked.client.receive(replaceValues(message.text, [[TOKEN_OF_PROGRESS, asked.token]]));
      return;
    }
    // Messages about the server itself go to all clients; a log message may concern a single client's request.
    if (message.method === "notifications/message") {
      const owners = new Set([...this.#asked.values()].map(({ client }) => client));
      const [only] = owners.size > 0 ? owners : this.#clients;
      if (only !== undefined && (owners.size === 1 || this.#clients.size === 1)) only.receive(message.text);
      return;
    }
    if (message.method === "notifications/cancelled") return;
    for (const client of this.#clients) client.receive(message.text);
  }

  #overlong(id: string | undefined): void {
    const number = numberOf(id);
    const asked = this.#asked.get(number);
    this.#asked.delete(number);
    asked?.client.events.overlong(asked.id);
  }

  #end(reason: string): void {
    this.#ended = true;
    for (const client of [...this.#clients]) client.end(reason);
    this.#clients.clear();
    this.#asked.clear();
  }
}

/** One client's share of the server. */
class SharedClient implements Channel {
  #closing: Promise<void> | undefined;
  #ended = false;

  constructor(
    private readonly server: SharedChannel,
    readonly events: ChannelEvents,
  ) {}

  send(line: string): void {
    if (this.#ended) throw new NfrxError("upstream_error", "the MCP server has ended");
    this.server.send(this, line);
  }

  receive(text: string): void {
    if (this.#ended) return;
    for (const message of readMessages(text).messages) this.events.message(message);
  }

  pause(): void {
    this.server.slow(this, true);
  }

  resume(): void {
    this.server.slow(this, false);
  }

  close(): Promise<void> {
    this.#closing ??= this.server.leave(this).finally(() => this.end("closed"));
    return this.#closing;
  }

  kill(): void {
    this.server.kill();
  }

  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.events.ended(reason);
  }
}

/** One of our numbers as the server gives it back, which may have made a string of it. */
function numberOf(key: string | undefined): number {
  return key === undefined ? Number.NaN : Number(unquoted(key) ?? key);
}
