import { BoundedMap } from "../../../lib/bounded-map.ts";
import { messageOf as reasonOf } from "../../../lib/errors.ts";
import { replaceValues } from "../../../lib/json-span.ts";
import type { Logger } from "../../../lib/log.ts";
import { type Clock, IdleTimer } from "../../../lib/time.ts";
import type { Channel, OpenChannel } from "../channels/channel.ts";
import { at, errorText, INVALID_REQUEST, keyOf, type Message, SERVER_ERROR, unquoted } from "../channels/message.ts";
import { Collector } from "./collector.ts";
import { EventStream } from "./event-stream.ts";
import { DEFAULT_VERSION, FIRST_PRIMED_VERSION, refuse } from "./http-rules.ts";
import { namedStream, onlyStream, type Pending, pendingOf } from "./routing.ts";
import { SSE_HEADERS } from "./sse-body.ts";
import { SessionStreams } from "./streams.ts";

/** Maximum pending requests of one session, or to one shared server. Further ones are refused. */
export const PENDING_MAX = 1_000;
/** Maximum requests of one server to its client whose stream is remembered; the oldest is dropped. */
const ASKED_MAX = 1_000;
/** Time in milliseconds for a server to answer a canceled request before its stream is closed. */
const CANCEL_GRACE_MS = 10_000;

/** JSON-RPC error code of a request that was cancelled. */
const REQUEST_CANCELLED = -32800;

export interface SessionOptions {
  open: OpenChannel;
  /** Milliseconds without a connected client or a message of it after which it ends; 0 is never. */
  idleMs: number;
  clock: Clock;
  log: Logger;
  /** Called once when the session has ended. */
  onEnd(session: Session): void;
}

export interface Post {
  messages: readonly Message[];
  /** The client takes an event stream. */
  events: boolean;
  /** The client's protocol version, if stated. */
  version: string | undefined;
  signal: AbortSignal;
}

/** One client's session: a server of its own, and the streams between them. */
export class Session {
  readonly id = crypto.randomUUID();
  /** The server's first response, which answers `initialize`; undefined if it exited before. */
  readonly firstAnswer: Promise<Message | undefined>;
  readonly #first = Promise.withResolvers<Message | undefined>();
  readonly #channel: Channel;
  readonly #pending = new Map<string, Pending<EventStream | Collector>>();
  readonly #streams: SessionStreams;
  /** Requests of the server, and where they went. */
  readonly #asked = new BoundedMap<EventStream | Collector>(ASKED_MAX);
  #idle: IdleTimer;
  #lastUsed: number;
  #closing: Promise<void> | undefined;
  #reason: string | undefined;

  constructor(private readonly options: SessionOptions) {
    this.firstAnswer = this.#first.promise;
    this.#lastUsed = options.clock.now();
    this.#channel = options.open({
      message: message => this.#receive(message),
      overlong: id => this.#settle(id, id => errorText(id, SERVER_ERROR, "The server's response is too long")),
      ended: reason => this.#end(reason),
    });
    this.#streams = new SessionStreams(options.clock, {
      left: () => this.#touch(),
      // A slow client slows down only its own server.
      slow: slow => (slow ? this.#channel.pause() : this.#channel.resume()),
    });
    this.#idle = this.#watchIdle();
  }

  /** No request is pending, and no client is connected. */
  get idle(): boolean {
    return this.#pending.size === 0 && !this.#connected;
  }

  /** When it was last used, by the clock. */
  get lastUsed(): number {
    return this.#lastUsed;
  }

  /** Why it has ended. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** Forwards the client's messages and the responses. */
  async post({ messages, events, version = DEFAULT_VERSION, signal }: Post): Promise<Response> {
    this.#touch();
    const requests = messages.filter(isRequest);
    if (requests.length === 0) {
      for (const message of messages) this.#forward(message);
      return new Response(null, { status: 202 });
    }
    const ids = new Set(requests.map(request => request.id));
    if (ids.size < requests.length || [...ids].some(id => this.#pending.has(id))) {
      return refuse(400, INVALID_REQUEST, "Invalid Request: the id of a request is in use", { id: requests[0]?.id });
    }
    if (this.#pending.size + requests.length > PENDING_MAX) {
      return refuse(503, SERVER_ERROR, "Too many pending requests", { headers: { "retry-after": "1" } });
    }
    const headers = { "mcp-session-id": this.id };
    const answers = events ? this.#streams.open() : new Collector(headers, signal);
    for (const request of requests) this.#pending.set(request.id, pendingOf(request, answers));
    const response =
      answers instanceof Collector
        ? answers.response
        : new Response(answers.connect(signal, version >= FIRST_PRIMED_VERSION), {
            headers: { ...SSE_HEADERS, ...headers },
          });
    for (const message of messages) this.#forward(message);
    return response;
  }

  /** Opens the stream of server-initiated messages, or resumes a stream. */
  listen(lastEventId: string | undefined, version: string | undefined, signal: AbortSignal): Response {
    this.#touch();
    const primed = version !== undefined && version >= FIRST_PRIMED_VERSION;
    return this.#streams.listen({ lastEventId, primed, signal }, { "mcp-session-id": this.id });
  }

  /** Ends the session and its server; pending requests get the reason. */
  close(reason: string): Promise<void> {
    this.#end(reason);
    this.#closing ??= this.#channel.close();
    return this.#closing;
  }

  #forward(message: Message): void {
    if (message.kind === "response" && message.id !== undefined) this.#asked.delete(message.id);
    if (message.method === "notifications/cancelled") this.#cancelled(message);
    try {
      this.#channel.send(message.text);
    } catch (error) {
      if (message.kind !== "request") throw error;
      this.#settle(message.id, id => errorText(id, SERVER_ERROR, reasonOf(error)));
    }
  }

  /** A server need not respond to a canceled request, and then its stream would never end. */
  #cancelled(message: Message): void {
    const id = keyOf(at(message.value, "params", "requestId"));
    const request = id === undefined ? undefined : this.#pending.get(id);
    if (id === undefined || request === undefined) return;
    const giveUp = (): void => {
      if (this.#pending.get(id) === request)
        this.#settle(id, id => errorText(id, REQUEST_CANCELLED, "Request cancelled"));
    };
    this.options.clock.after(CANCEL_GRACE_MS, giveUp, true);
  }

  #receive(message: Message): void {
    if (this.#reason !== undefined) return;
    if (message.kind !== "response") return this.#publish(message);
    this.#first.resolve(message);
    this.#settle(message.id, id => (id === message.id ? message.text : replaceValues(message.text, [[["id"], id]])));
  }

  /** Delivers the response to the request with this ID; if it was the last one on its stream, the stream ends. */
  #settle(id: string | undefined, text: (id: string) => string): void {
    const request = id === undefined ? undefined : this.#asking(id);
    if (request === undefined)
      return this.options.log.debug({ id }, "ignoring an unexpected response of the MCP server");
    this.#pending.delete(request.id);
    const { stream } = request;
    stream.publish(text(request.id));
    for (const other of this.#pending.values()) if (other.stream === stream) return;
    stream.finish();
  }

  /** The request of a response, whose ID the server may have converted to a string or rounded to a double. */
  #asking(id: string): Pending<EventStream | Collector> | undefined {
    const same = this.#pending.get(id) ?? this.#pending.get(unquoted(id) ?? "");
    if (same !== undefined || id.startsWith('"') || Number.isSafeInteger(Number(id))) return same;
    for (const request of this.#pending.values()) if (Number(request.id) === Number(id)) return request;
    return undefined;
  }

  #publish(message: Message): void {
    const named = namedStream(message, this.#pending.values(), this.#asked);
    const stream = named instanceof EventStream ? named : this.#unnamed(message);
    // The server only pings, and its client may reconnect at any time.
    if (message.method === "ping" && message.kind === "request" && !stream.connected) return this.#pong(message);
    if (message.id !== undefined) this.#asked.set(message.id, stream);
    stream.publish(message.text);
  }

  /** Where a message goes that names no request of the client. */
  #unnamed(message: Message): EventStream {
    const { standalone, listens } = this.#streams;
    const only = onlyStream(this.#pending.values());
    // A stream that was cut may be taken up again, but one that is open is there now.
    if (only instanceof EventStream && (only.connected || !standalone.connected)) return only;
    if (message.kind === "notification" || listens) return standalone;
    // A client that never opens an event stream would block the server: send the request on an open stream.
    const open = [...this.#pending.values()]
      .map(({ stream }) => stream)
      .filter(stream => stream instanceof EventStream);
    return open.findLast(stream => stream.connected) ?? standalone;
  }

  #pong({ id }: Message): void {
    try {
      this.#channel.send(`{"jsonrpc":"2.0","id":${id},"result":{}}`);
    } catch (error) {
      this.options.log.debug({ error: reasonOf(error) }, "cannot answer a ping of the MCP server");
    }
  }

  #end(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#idle.cancel();
    for (const id of [...this.#pending.keys()]) this.#settle(id, id => errorText(id, SERVER_ERROR, reason));
    this.#streams.finish();
    this.#first.resolve(undefined);
    this.options.onEnd(this);
  }

  get #connected(): boolean {
    if (this.#streams.connected) return true;
    for (const { stream } of this.#pending.values()) if (stream.connected) return true;
    return false;
  }

  #touch(): void {
    this.#lastUsed = this.options.clock.now();
    this.#idle.touch();
  }

  #watchIdle(): IdleTimer {
    return new IdleTimer(this.options.clock, this.options.idleMs, () => {
      this.#idle = this.#watchIdle();
      // A request without a waiting client blocks nothing, whatever its server sends about it.
      if (!this.#connected) void this.close("the session was idle for too long");
    });
  }
}

function isRequest(message: Message): message is Message & { id: string } {
  return message.kind === "request" && message.id !== undefined;
}
