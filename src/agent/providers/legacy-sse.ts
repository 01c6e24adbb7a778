// The client side of the HTTP+SSE transport of 2024-11-05: a GET returns an endpoint and then the server's messages;
// the client's messages are posted to the endpoint.
import { NfrxError, messageOf as reasonOf } from "../../lib/errors.ts";
import type { Channel, ChannelEvents } from "./channels/channel.ts";
import { errorText, MalformedMessage, type Message, readMessages, SERVER_ERROR } from "./channels/message.ts";
import { RateLog } from "./channels/rate-log.ts";
import { Spawner } from "./channels/spawner.ts";
import { limitedReader } from "./event-limit.ts";
import { SessionManager, type SessionsOptions } from "./sessions/manager.ts";

/** Maximum unsent data to an HTTP+SSE server, in bytes. Beyond it messages are refused. */
const SSE_SEND_QUEUE_BYTES = 32 * 1024 * 1024;

/** The MCP version of this transport, which supports only sessions. */
const VERSION = "2024-11-05";

export interface LegacySseOptions extends SessionsOptions {
  /** Where the event stream is. */
  url: string;
  /** Headers for every request, such as a token. */
  headers?: () => Promise<Record<string, string>> | Record<string, string>;
  /** Sends requests; by default the runtime's fetch. */
  fetch?: (url: string, init: BunFetchRequestInit) => Promise<Response>;
  /** Bytes of one message of the server. */
  lineBytes: number;
  random?: () => number;
}

/** A server of the HTTP+SSE transport; each session has a connection of its own. */
export function legacySseProvider(options: LegacySseOptions, starts = legacySseSpawner(options)): SessionManager {
  return new SessionManager({ ...options, protocolVersion: options.protocolVersion ?? VERSION, starts });
}

/** Opens connections and tracks their failures; shared by successive providers. */
export function legacySseSpawner(options: LegacySseOptions): Spawner {
  return new Spawner(events => new LegacySse(options, events), options.clock, options.random);
}

class LegacySse implements Channel {
  readonly #abort = new AbortController();
  readonly #endpoint = Promise.withResolvers<string>();
  readonly #done: Promise<void>;
  readonly #log: RateLog;
  /** Settles when all that was queued has been sent: messages keep their order. */
  #sending: Promise<void> = Promise.resolve();
  #queued = 0;
  #gate: PromiseWithResolvers<void> | undefined;
  #ended = false;

  constructor(
    private readonly options: LegacySseOptions,
    private readonly events: ChannelEvents,
  ) {
    this.#log = new RateLog(options.clock, (fields, message) => options.log.warn(fields, message));
    this.#endpoint.promise.catch(() => {});
    this.#done = this.#run();
  }

  send(line: string): void {
    if (this.#ended) throw new NfrxError("upstream_error", "the connection to the MCP server has ended");
    const bytes = Buffer.byteLength(line);
    if (this.#queued > 0 && this.#queued + bytes > SSE_SEND_QUEUE_BYTES) {
      throw new NfrxError("overloaded", "the MCP server stopped reading its input", { retryAfterSeconds: 5 });
    }
    this.#queued += bytes;
    this.#sending = this.#sending.then(async () => {
      try {
        await this.#post(line);
      } catch (error) {
        this.#notSent(line, reasonOf(error));
      }
      this.#queued -= bytes;
    });
  }

  pause(): void {
    this.#gate ??= Promise.withResolvers();
  }

  resume(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  close(): Promise<void> {
    this.kill();
    return this.#done;
  }

  kill(): void {
    this.resume();
    this.#abort.abort(new NfrxError("canceled", "the connection was closed"));
  }

  async #run(): Promise<void> {
    let reason = "the MCP server has closed its event stream";
    try {
      await this.#read();
    } catch (error) {
      reason = reasonOf(error);
    }
    this.#ended = true;
    this.#endpoint.reject(new NfrxError("upstream_error", reason));
    // The message being sent is obsolete.
    this.#abort.abort(new NfrxError("upstream_error", reason));
    await this.#sending;
    this.events.ended(reason);
  }

  async #read(): Promise<void> {
    const response = await this.#fetch(this.options.url, { headers: { accept: "text/event-stream" } });
    const type = response.headers.get("content-type") ?? "";
    if (!response.ok || response.body === null || !type.toLowerCase().startsWith("text/event-stream")) {
      await response.body?.cancel();
      throw new NfrxError(
        "upstream_error",
        `the MCP server responded with ${response.status} ${type} instead of an event stream`,
      );
    }
    const read = limitedReader(
      this.options.lineBytes,
      (data, name) => this.#event(name, data),
      ({ hasMethod, id }) => this.events.overlong(hasMethod ? undefined : id),
    );
    for await (const chunk of response.body) {
      read(chunk);
      if (this.#gate !== undefined) await this.#gate.promise;
    }
  }

  #event(name: string, data: string): void {
    if (name === "endpoint") return this.#setEndpoint(data);
    if (name !== "message") return;
    try {
      for (const message of readMessages(data).messages) this.events.message(message);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      this.#log.line(data, "the MCP server sent an invalid message");
    }
  }

  /** A server must not name an endpoint of another origin: messages, and a token with them, stay at their origin. */
  #setEndpoint(data: string): void {
    const base = new URL(this.options.url);
    const endpoint = URL.canParse(data, base.href) ? new URL(data, base) : undefined;
    if (endpoint?.origin !== base.origin) {
      throw new NfrxError("upstream_error", "the MCP server's endpoint event names another origin");
    }
    this.#endpoint.resolve(endpoint.href);
  }

  async #post(line: string): Promise<void> {
    const url = await this.#endpoint.promise;
    const headers = { "content-type": "application/json" };
    const response = await this.#fetch(url, { method: "POST", headers, body: line });
    await response.body?.cancel();
    if (!response.ok)
      throw new NfrxError("upstream_error", `the MCP server responded to a message with status ${response.status}`);
  }

  /** A request that could not be sent gets an error from the relay. */
  #notSent(line: string, reason: string): void {
    const [message]: (Message | undefined)[] = readMessages(line).messages;
    if (message?.kind !== "request" || this.#ended) {
      this.options.log.warn({ reason, method: message?.method }, "cannot send a message to the MCP server");
      return;
    }
    for (const answer of readMessages(errorText(message.id, SERVER_ERROR, reason)).messages)
      this.events.message(answer);
  }

  async #fetch(url: string, init: BunFetchRequestInit & { headers: Record<string, string> }): Promise<Response> {
    const { headers = () => ({}), fetch: ask = fetch } = this.options;
    return await ask(url, {
      ...init,
      headers: { ...init.headers, ...(await headers()) },
      signal: this.#abort.signal,
      // Another address is another server.
      redirect: "manual",
      timeout: false,
    });
  }
}
