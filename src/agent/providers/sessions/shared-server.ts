import { NfrxError, messageOf as reasonOf } from "../../../lib/errors.ts";
import { replaceValues, spanOf } from "../../../lib/json-span.ts";
import type { Logger } from "../../../lib/log.ts";
import type { Clock } from "../../../lib/time.ts";
import type { Channel, OpenChannel } from "../channels/channel.ts";
import {
  at,
  errorText,
  keyOf,
  METHOD_NOT_FOUND,
  type Message,
  SERVER_ERROR,
  SUBSCRIPTION_ID,
  unquoted,
} from "../channels/message.ts";
import { type Accepts, refuse } from "./http-rules.ts";
import { PostReply } from "./reply.ts";
import { PENDING_MAX } from "./session.ts";

/** A pending request, under an ID of the relay. */
interface PendingCall {
  /** The client's own id and progress token, as JSON. */
  id: string;
  token: string | undefined;
  publish(text: string): void;
  answer(message: Message | undefined, text: string): void;
}

/**
 * One server for many clients that know nothing of each other: their request ids and progress tokens are exchanged for ours
 * on the way in, and back on the way out; all else passes as it was written.
 */
export class SharedServer {
  readonly #channel: Channel;
  readonly #waiting = new Map<number, PendingCall>();
  #next = 1;
  #reason: string | undefined;

  constructor(
    open: OpenChannel,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {
    this.#channel = open({
      message: message => this.#receive(message),
      overlong: id => this.#tooLong(id),
      ended: reason => this.#end(reason),
    });
  }

  get alive(): boolean {
    return this.#reason === undefined;
  }

  /** Pending requests. */
  get pending(): number {
    return this.#waiting.size;
  }

  /** Sends a client's request. If the client disconnects before the response, the server gets a cancellation. */
  ask(
    request: Message & { id: string },
    accepts: Accepts,
    signal: AbortSignal,
    statusOf: (answer: Message) => number = () => 200,
  ): Promise<Response> {
    if (signal.aborted) return Promise.reject(new NfrxError("canceled", "the client disconnected"));
    if (this.#waiting.size >= PENDING_MAX) {
      const headers = { "retry-after": "1" };
      return Promise.resolve(refuse(503, SERVER_ERROR, "Too many pending requests", { id: request.id, headers }));
    }
    const number = this.#next++;
    const reply = new PostReply(this.clock, accepts, signal, () => this.#cancel(number));
    const tokenSpan = spanOf(request.text, TOKEN_OF_REQUEST);
    const waiting: PendingCall = {
      id: request.id,
      token: tokenSpan === undefined ? undefined : request.text.slice(...tokenSpan),
      publish: text => reply.publish(text),
      answer: (message, text) => reply.answer(text, message === undefined ? 200 : statusOf(message)),
    };
    this.#waiting.set(number, waiting);
    const text = replaceValues(request.text, [
      [["id"], `${number}`],
      [TOKEN_OF_REQUEST, `${number}`],
    ]);
    try {
      this.#channel.send(text);
    } catch (error) {
      this.#settle(number, undefined, errorText(request.id, SERVER_ERROR, reasonOf(error)));
    }
    return reply.response;
  }

  /** Asks for ourselves. Rejects when the server ends, or the signal aborts, first. */
  call(method: string, params: object, signal: AbortSignal): Promise<Message> {
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    const number = this.#next++;
    const fail = (reason: string): void => reject(new NfrxError("upstream_error", reason));
    const onAbort = (): void => {
      this.#waiting.delete(number);
      fail(`the MCP server did not answer ${method}: ${reasonOf(signal.reason)}`);
    };
    if (!this.alive) fail(this.#reason ?? "");
    else if (signal.aborted) onAbort();
    else {
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.set(number, {
        id: `${number}`,
        token: undefined,
        publish() {},
        answer: message => {
          signal.removeEventListener("abort", onAbort);
          if (message === undefined) fail(this.#reason ?? "the MCP server's response is too long");
          else resolve(message);
        },
      });
      this.#channel.send(JSON.stringify({ jsonrpc: "2.0", id: number, method, params }));
    }
    return promise;
  }

  /** Sends a notification. */
  tell(text: string): void {
    this.#channel.send(text);
  }

  close(): Promise<void> {
    return this.#channel.close();
  }

  #cancel(number: number): void {
    if (!this.#waiting.delete(number) || !this.alive) return;
    const params = { requestId: number, reason: "the client disconnected" };
    this.#send(JSON.stringify({ jsonrpc: "2.0", method: "notifications/cancelled", params }));
  }

  #receive(message: Message): void {
    if (message.kind === "response") {
      const number = numberOf(message.id);
      const waiting = this.#waiting.get(number);
      if (waiting === undefined) return;
      const text = replaceValues(message.text, [
        [["id"], waiting.id],
        ...this.#back(message, SUBSCRIPTION_OF_RESULT, number, waiting.id),
      ]);
      this.#settle(number, message, text);
    } else if (message.kind === "request") {
      this.#refuse(message);
    } else {
      this.#notify(message);
    }
  }

  /** A shared server has no single client to send requests to. */
  #refuse(message: Message): void {
    const pong = `{"jsonrpc":"2.0","id":${message.id},"result":{}}`;
    this.#send(
      message.method === "ping"
        ? pong
        : errorText(message.id, METHOD_NOT_FOUND, "This server is shared: requests to the client are not supported"),
    );
  }

  #notify(message: Message): void {
    const params = message.value["params"];
    const progress = message.method === "notifications/progress" ? at(params, "progressToken") : undefined;
    const cancelled = message.method === "notifications/cancelled" ? at(params, "requestId") : undefined;
    const number = numberOf(keyOf(progress) ?? keyOf(at(params, "_meta", SUBSCRIPTION_ID)) ?? keyOf(cancelled));
    const named = progress ?? cancelled ?? at(params, "_meta", SUBSCRIPTION_ID);
    const waiting = named === undefined ? this.#only() : this.#waiting.get(number);
    if (waiting === undefined)
      return this.log.debug({ method: message.method }, "ignoring a notification without a recipient");
    const text = replaceValues(message.text, [
      ...this.#back(message, TOKEN_OF_PROGRESS, number, waiting.token),
      ...this.#back(message, SUBSCRIPTION_OF_NOTIFICATION, number, waiting.id),
      ...this.#back(message, REQUEST_OF_CANCEL, number, waiting.id),
    ]);
    waiting.publish(text);
  }

  /** A message without a reference belongs to the only client. */
  #only(): PendingCall | undefined {
    const [only] = this.#waiting.values();
    return this.#waiting.size === 1 ? only : undefined;
  }

  /** Replaces one of our numbers at `path` by the client's value. */
  #back(
    message: Message,
    path: readonly string[],
    number: number,
    value: string | undefined,
  ): (readonly [readonly string[], string])[] {
    return value !== undefined && numberOf(keyOf(at(message.value, ...path))) === number ? [[path, value]] : [];
  }

  #tooLong(id: string | undefined): void {
    const number = numberOf(id);
    const waiting = this.#waiting.get(number);
    if (waiting === undefined) return;
    this.#settle(number, undefined, errorText(waiting.id, SERVER_ERROR, "The server's response is too long"));
  }

  #settle(number: number, message: Message | undefined, text: string): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    waiting?.answer(message, text);
  }

  #send(text: string): void {
    try {
      this.#channel.send(text);
    } catch (error) {
      this.log.debug({ error: reasonOf(error) }, "cannot notify the MCP server");
    }
  }

  #end(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    for (const [number, waiting] of this.#waiting)
      this.#settle(number, undefined, errorText(waiting.id, SERVER_ERROR, reason));
  }
}

/** One of our numbers as the server gives it back, which may have made a string of it. */
function numberOf(key: string | undefined): number {
  return key === undefined ? Number.NaN : Number(unquoted(key) ?? key);
}

const TOKEN_OF_REQUEST = ["params", "_meta", "progressToken"];
const TOKEN_OF_PROGRESS = ["params", "progressToken"];
const REQUEST_OF_CANCEL = ["params", "requestId"];
const SUBSCRIPTION_OF_NOTIFICATION = ["params", "_meta", SUBSCRIPTION_ID];
const SUBSCRIPTION_OF_RESULT = ["result", "_meta", SUBSCRIPTION_ID];
