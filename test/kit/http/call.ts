import { connect, type Socket } from "node:net";
import { Changes } from "../time/until.ts";

export interface CallInit {
  method?: string;
  /** Sent as given; Host, and Content-Length or Transfer-Encoding where there is a body, are added. */
  headers?: Record<string, string> | [string, string][];
  /** The whole body; `chunked` when the test writes it piece by piece with `send`. */
  body?: Uint8Array | string | "chunked";
  /** Announced as Content-Length instead of the body's own. */
  announced?: number;
}

export interface CallHead {
  status: number;
  /** Names in lower case, in the order in which they came. */
  headers: [string, string][];
}

/** An HTTP answer as it was on the wire, with the chunks' framing taken off. */
export interface CallAnswer extends CallHead {
  body: Buffer;
  /** The answer ended as HTTP says it must: all announced bytes, or the last chunk. False when the connection was cut. */
  complete: boolean;
}

/**
 * One HTTP/1.1 request over a socket of its own: nothing is added, decoded, retried or hidden, as a client library would. For what a test has
 * to see or to do byte by byte: encodings, repeated headers, a body that is cut, a client that vanishes.
 */
export class Call {
  readonly #socket: Socket;
  readonly #changes = new Changes();
  #input: Buffer = Buffer.alloc(0);
  #head: CallHead | undefined;
  readonly #body: Buffer[] = [];
  #framing: "chunked" | "close" | { left: number } = "close";
  #complete = false;
  #closed = false;

  constructor(url: string, init: CallInit = {}) {
    const { host, hostname, port, pathname, search } = new URL(url);
    const { body, method = body === undefined ? "GET" : "POST" } = init;
    const headers = Array.isArray(init.headers) ? [...init.headers] : Object.entries(init.headers ?? {});
    headers.unshift(["Host", host]);
    const bytes = body === undefined || body === "chunked" ? undefined : Buffer.from(body);
    if (body === "chunked") headers.push(["Transfer-Encoding", "chunked"]);
    else if (bytes !== undefined) headers.push(["Content-Length", String(init.announced ?? bytes.length)]);
    this.#socket = connect(Number(port), hostname);
    this.#socket.on("error", () => undefined);
    this.#socket.on("data", (data: Buffer) => this.#receive(data));
    this.#socket.on("close", () => {
      this.#closed = true;
      if (this.#head !== undefined && this.#framing === "close") this.#complete = true;
      this.#changes.notify();
    });
    const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    this.#socket.write(`${method} ${pathname}${search} HTTP/1.1\r\n${lines}\r\n`);
    if (bytes !== undefined) this.#socket.write(bytes);
  }

  /** The answer's head, once it is here. */
  async head(): Promise<CallHead> {
    await this.#changes.when(() => this.#head !== undefined || this.#closed, "the head of an answer");
    if (this.#head === undefined) throw new Error("the connection was closed without an answer");
    return this.#head;
  }

  /** The answer, once it has ended, in whichever way. The connection is closed then. */
  async answer(ms?: number): Promise<CallAnswer> {
    await this.#changes.when(
      () => this.#complete || this.#closed,
      () => `the end of an answer, after ${this.text.slice(-300)}`,
      ms,
    );
    this.#socket.destroy();
    if (this.#head === undefined) throw new Error("the connection was closed without an answer");
    return { ...this.#head, body: Buffer.concat(this.#body), complete: this.#complete };
  }

  /** True once the answer has ended as it must. */
  get complete(): boolean {
    return this.#complete;
  }

  /** True once the connection is closed, by either side. */
  get over(): boolean {
    return this.#closed;
  }

  /** What has arrived of the body. */
  get text(): string {
    return Buffer.concat(this.#body).toString("utf8");
  }

  /** Resolves when the body holds `part`. */
  shows(part: string): Promise<void> {
    return this.#changes.when(
      () => this.text.includes(part),
      () => `${part} in ${this.text}`,
    );
  }

  /** Resolves when `bytes` of the body have arrived in all. */
  received(bytes: number): Promise<void> {
    return this.#changes.when(
      () => this.#bodyBytes >= bytes,
      () => `${bytes} bytes of an answer, of which ${this.#bodyBytes} are here`,
    );
  }

  get #bodyBytes(): number {
    return this.#body.reduce((sum, { length }) => sum + length, 0);
  }

  /** Resolves once `holds` does; looked at after everything that arrives. */
  when(holds: () => boolean, what: string, ms?: number): Promise<void> {
    return this.#changes.when(holds, what, ms);
  }

  /** Resolves when either side has closed the connection. */
  closed(): Promise<void> {
    return this.#changes.when(() => this.#closed, "the end of a connection");
  }

  /** Sends one chunk of a `chunked` body; resolves when it has left for the socket. */
  send(data: Uint8Array | string): Promise<void> {
    const bytes = Buffer.from(data);
    return this.raw(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]));
  }

  /** Ends a `chunked` body. */
  finish(): Promise<void> {
    return this.raw("0\r\n\r\n");
  }

  /** Writes these bytes; resolves when they have left, or the connection is gone. */
  raw(data: Uint8Array | string): Promise<void> {
    return new Promise(resolve => {
      this.#socket.once("close", resolve);
      this.#socket.write(data, () => {
        this.#socket.off("close", resolve);
        resolve();
      });
    });
  }

  /** Takes no more bytes off the socket: a client that does not read. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** The client vanishes: with a farewell (FIN), which stands behind all it has sent, or without (RST). */
  abort(how: "fin" | "rst" = "fin"): void {
    if (how === "rst") this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  #receive(data: Buffer): void {
    this.#input = this.#input.length === 0 ? data : Buffer.concat([this.#input, data]);
    if (this.#head === undefined) this.#parseHead();
    if (this.#head !== undefined) this.#parseBody();
    this.#changes.notify();
  }

  #parseHead(): void {
    const split = this.#input.indexOf("\r\n\r\n");
    if (split < 0) return;
    const [start = "", ...lines] = this.#input.subarray(0, split).toString("latin1").split("\r\n");
    this.#input = this.#input.subarray(split + 4);
    const status = Number(start.split(" ")[1]);
    const headers = lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
    if (status === 100) return this.#parseHead();
    this.#head = { status, headers };
    const value = (name: string): string | undefined => headers.find(([one]) => one === name)?.[1];
    const length = value("content-length");
    if (value("transfer-encoding")?.toLowerCase() === "chunked") this.#framing = "chunked";
    else if (length !== undefined) this.#framing = { left: Number(length) };
    else if (status === 204 || status === 304 || status === 101) this.#framing = { left: 0 };
  }

  #parseBody(): void {
    if (this.#framing === "chunked") return this.#parseChunks();
    const bytes = this.#input;
    this.#input = Buffer.alloc(0);
    if (bytes.length > 0) this.#body.push(bytes);
    if (this.#framing === "close") return;
    this.#framing.left -= bytes.length;
    if (this.#framing.left <= 0) this.#complete = true;
  }

  #parseChunks(): void {
    for (;;) {
      const line = this.#input.indexOf("\r\n");
      if (line < 0) return;
      const size = Number.parseInt(this.#input.subarray(0, line).toString("latin1"), 16);
      const end = line + 2 + size + 2;
      if (this.#input.length < end) return;
      if (size === 0) {
        this.#complete = true;
        return;
      }
      this.#body.push(this.#input.subarray(line + 2, end - 2));
      this.#input = this.#input.subarray(end);
    }
  }
}

/** Sends a request and waits for the end of its answer. */
export function call(url: string, init: CallInit = {}): Promise<CallAnswer> {
  return new Call(url, init).answer();
}
