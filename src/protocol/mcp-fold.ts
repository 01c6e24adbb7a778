import { NfrxError } from "../lib/errors.ts";
import { hasContentType } from "../lib/http.ts";
import { EventReader } from "../lib/sse-reader.ts";
import type { ResponseHead } from "./frames.ts";
import { V1_MCP_ANSWER } from "./limits.ts";
import { type AwaitedReply, parse, responseTo, rpcErrorText, strictText, wordOf } from "./mcp-rpc.ts";

/** Builds one JSON-RPC message from an MCP server's HTTP response, JSON or events, as its bytes arrive. */
export class Fold {
  readonly #events: EventReader | undefined;
  #chunks: Uint8Array[] = [];
  #length = 0;
  #found: string | undefined;
  /** An error without an ID; used if no better response arrives. */
  #spare: string | undefined;

  constructor(
    private readonly head: ResponseHead,
    private readonly waiting: AwaitedReply,
  ) {
    if (this.#isFine && hasContentType(head.headers, "text/event-stream"))
      this.#events = new EventReader(V1_MCP_ANSWER, data => this.#onEvent(data));
  }

  /** The response, if it arrives before the end: one event of a stream that may continue. */
  get found(): string | undefined {
    return this.#found;
  }

  /** Takes bytes of the body; they may change afterwards. Throws `too_large`. */
  feed(bytes: Uint8Array): void {
    if (this.#found !== undefined) return;
    if (this.#events !== undefined) return this.#events.feed(bytes);
    this.#length += bytes.length;
    if (this.#length > V1_MCP_ANSWER)
      throw new NfrxError("too_large", `the response exceeds the wire v1 limit of ${V1_MCP_ANSWER} bytes`);
    this.#chunks.push(Buffer.from(bytes));
  }

  /** The response, once the body has ended. */
  end(): string {
    if (this.#events !== undefined)
      return this.#found ?? this.#spare ?? this.#failed("the provider ended its events without a response");
    const text = strictText(Buffer.concat(this.#chunks, this.#length));
    this.#chunks = [];
    if (text?.trim() === "" && this.#isFine)
      return this.#failed("the provider accepted the message but sent no response");
    const value = text === undefined ? undefined : parse(text);
    const response = text === undefined ? undefined : responseTo(this.waiting, text, value);
    if (response !== undefined) return response;
    if (!this.#isFine) return this.#failed(`the provider responded with status ${this.head.status}`);
    // Not to our request, but the caller's to judge.
    return text === undefined || value === undefined ? this.#failed("the provider's response is not JSON") : text;
  }

  get #isFine(): boolean {
    return this.head.status >= 200 && this.head.status < 300;
  }

  #onEvent(data: string): void {
    if (this.#found !== undefined) return;
    const value = parse(data);
    const response = responseTo(this.waiting, data, value);
    // Notifications and requests of the server cannot be sent on v1.
    if (response === undefined) return;
    if (response === data) this.#found = data;
    else this.#spare = response;
  }

  #failed(message: string): string {
    const { status } = this.head;
    const word = this.#isFine ? "MCP_UPSTREAM_ERROR" : wordOf(status);
    return rpcErrorText(this.waiting.idText, message, word, { status });
  }
}
