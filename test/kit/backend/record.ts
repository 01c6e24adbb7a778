import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";

/** Bodies up to this size are kept; of larger ones only the size and the hash. */
const KEPT_BODY = 1024 * 1024;

const PROBES = /^\/(v1\/models(\/.*)?|api\/tags|api\/version|props|health)$/;

/** What the test backend knows about one request; it changes while the request runs. */
export class RecordedRequest {
  readonly method: string;
  /** The path without the query. */
  readonly path: string;
  /** The query with its question mark, or "". */
  readonly search: string;
  readonly headers = new Headers();
  /** The header lines as they came: name, value, name, value… */
  readonly rawHeaders: readonly string[];
  /** `performance.now()` when the head was here. */
  readonly arrivedAt = performance.now();
  /** Whether this is a probe of the backend and no work. */
  readonly isProbe: boolean;

  /** Body bytes that have arrived so far. */
  bodyBytes = 0;
  /** The whole body as text, when it was at most 1 MiB. */
  body: string | undefined;
  /** SHA-256 of the whole body in hex, for the large ones. */
  sha256: string | undefined;
  /** Whether the client disconnected before the answer was complete. */
  aborted = false;
  abortedAt: number | undefined;
  /** Whether the request has ended, in whichever way. */
  ended = false;
  /** What the handler or the reading of the body threw. */
  error: unknown;

  readonly #url: string;
  readonly #changed: () => void;

  constructor(message: IncomingMessage, origin: string, changed: () => void) {
    const url = new URL(message.url ?? "/", origin);
    this.#url = url.href;
    this.#changed = changed;
    this.method = message.method ?? "GET";
    this.path = url.pathname;
    this.search = url.search;
    this.rawHeaders = [...message.rawHeaders];
    for (let i = 0; i + 1 < this.rawHeaders.length; i += 2) {
      this.headers.append(this.rawHeaders[i] ?? "", this.rawHeaders[i + 1] ?? "");
    }
    this.isProbe = this.method === "GET" && PROBES.test(this.path);
  }

  /** The parsed JSON body. */
  json(): unknown {
    if (this.body === undefined) throw new Error(`${this.method} ${this.path}: the body was not kept or not read`);
    return JSON.parse(this.body);
  }

  /** Marks the end; `aborted` when it was the client that disconnected. */
  end(aborted: boolean): void {
    this.ended = true;
    this.aborted = aborted;
    if (aborted) this.abortedAt = performance.now();
  }

  /** The request for the handler: with the kept body (empty when it was too large), or with the live one when `read` is false. */
  async toRequest(message: IncomingMessage, signal: AbortSignal, read: boolean): Promise<Request> {
    const bare = this.method === "GET" || this.method === "HEAD";
    const kept = read ? await this.#readBody(message) : undefined;
    const body = bare ? null : (kept ?? (read ? null : this.#live(message)));
    return new Request(this.#url, { method: this.method, headers: this.headers, body, signal });
  }

  async #readBody(message: IncomingMessage): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const kept: Uint8Array[] = [];
    const hash = new Bun.CryptoHasher("sha256");
    for await (const chunk of this.#live(message)) {
      hash.update(chunk);
      if (this.bodyBytes <= KEPT_BODY) kept.push(chunk);
      else kept.length = 0;
    }
    this.sha256 = hash.digest("hex");
    const whole = this.bodyBytes <= KEPT_BODY ? new Uint8Array(Buffer.concat(kept)) : undefined;
    if (whole) this.body = new TextDecoder().decode(whole);
    this.#changed();
    return whole;
  }

  /** The body as it arrives, counted. */
  #live(message: IncomingMessage): ReadableStream<Uint8Array> {
    const count = (chunk: unknown) => {
      if (!(chunk instanceof Uint8Array)) throw new Error("a body chunk is not bytes");
      this.bodyBytes += chunk.byteLength;
      this.#changed();
      return chunk;
    };
    const chunks = Readable.from(message)[Symbol.asyncIterator]();
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const next = await chunks.next();
          if (next.done) controller.close();
          else controller.enqueue(count(next.value));
        },
      },
      { highWaterMark: 0 },
    );
  }
}
