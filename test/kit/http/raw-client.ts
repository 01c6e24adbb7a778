import { connect, type Socket } from "node:net";
import { Changes } from "../time/until.ts";

/**
 * A client of one HTTP/1.1 exchange on a socket of its own: it can be slow, rude or gone at any byte, and it tells a whole answer from a cut
 * one. Unlike fetch it knows no limit of requests at once.
 */
export class RawClient {
  /** The answer's status, 0 until its head is there. */
  status = 0;
  readonly headers = new Headers();
  /** True once the last byte of the answer has come: the last chunk, or all of its Content-Length. */
  complete = false;
  /** True once the connection is over, whoever ended it. */
  closed = false;
  /** Bytes that came, head and framing included. */
  bytesIn = 0;
  /** What came last. */
  last: Buffer = Buffer.alloc(0);

  readonly #socket: Socket;
  readonly #changes = new Changes();
  readonly #body: Buffer[] = [];
  #input: Buffer = Buffer.alloc(0);
  #length: number | "chunked" | "close" = 0;
  /** Bytes still to come of the chunk that is being read; 0 between chunks. */
  #chunk = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.bytesIn += bytes.length;
      this.last = bytes;
      this.#input = this.#input.length === 0 ? bytes : Buffer.concat([this.#input, bytes]);
      this.#parse();
      this.#changes.notify();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#changes.notify();
    });
    socket.on("end", () => {
      if (this.status !== 0 && this.#length === "close") this.complete = true;
      socket.destroy();
    });
  }

  /** Connects to 127.0.0.1. */
  static connect(port: number): Promise<RawClient> {
    const { promise, resolve, reject } = Promise.withResolvers<RawClient>();
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => resolve(new RawClient(socket)));
    return promise;
  }

  /** The answer's body as far as it has come, without its framing. */
  get body(): Buffer {
    return Buffer.concat(this.#body);
  }

  get text(): string {
    return this.body.toString("utf8");
  }

  /** Writes bytes as they are; resolves when they have left, or the connection is over. */
  write(data: Uint8Array | string): Promise<void> {
    if (this.closed) return Promise.resolve();
    return new Promise(resolve => {
      this.#socket.once("close", resolve);
      this.#socket.write(data, () => {
        this.#socket.off("close", resolve);
        resolve();
      });
    });
  }

  /** Writes a whole POST request. */
  post(path: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<void> {
    const bytes = Buffer.from(body);
    return this.write(
      Buffer.concat([Buffer.from(this.head(path, { ...headers, "content-length": `${bytes.length}` })), bytes]),
    );
  }

  /** The head of a POST request with JSON, for a body that follows in pieces. */
  head(path: string, headers: Record<string, string>): string {
    const all = { host: "broker", "content-type": "application/json", ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
    return `POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
  }

  /** Stops reading: what comes waits in the kernel, then with the sender. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Goes away: with a farewell (FIN), or without (RST). */
  destroy(how: "fin" | "rst" = "fin"): void {
    if (how === "rst") this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }

  /** Resolves once `holds` does; looked at after everything that comes and when the connection is over. */
  when(holds: () => boolean, what: string, ms?: number): Promise<void> {
    return this.#changes.when(
      holds,
      () => `${what} (status ${this.status}, ${this.bytesIn} bytes${this.closed ? ", closed" : ""})`,
      ms,
    );
  }

  /** Resolves with this client when the answer is whole or the connection is over. */
  async settled(ms?: number): Promise<this> {
    await this.when(() => this.complete || this.closed, "an answer, whole or cut", ms);
    return this;
  }

  #parse(): void {
    if (this.status === 0 && !this.#parseHead()) return;
    while (!this.complete && this.#input.length > 0) {
      if (this.#length === "chunked") {
        if (!this.#parseChunk()) return;
      } else {
        this.#keep(typeof this.#length === "number" ? Math.min(this.#length, this.#input.length) : this.#input.length);
      }
    }
  }

  #parseHead(): boolean {
    const split = this.#input.indexOf("\r\n\r\n");
    if (split < 0) return false;
    const [first = "", ...lines] = this.#input.subarray(0, split).toString("latin1").split("\r\n");
    for (const line of lines)
      this.headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim());
    this.#input = this.#input.subarray(split + 4);
    const length = this.headers.get("content-length");
    this.#length =
      this.headers.get("transfer-encoding") === "chunked" ? "chunked" : length === null ? "close" : Number(length);
    this.complete = this.#length === 0;
    this.status = Number(first.split(" ")[1]);
    return true;
  }

  /** Takes as much of a chunk as is there; false when more is needed to go on. */
  #parseChunk(): boolean {
    if (this.#chunk > 0) {
      this.#keep(Math.min(this.#chunk, this.#input.length));
      return true;
    }
    // The line break after the chunk before stands before this chunk's size.
    const start = this.#input[0] === 13 ? 2 : 0;
    const line = this.#input.indexOf("\r\n", start);
    if (line < 0) return false;
    const size = Number.parseInt(this.#input.subarray(start, line).toString("latin1"), 16);
    if (size === 0 && this.#input.length < line + 4) return false;
    this.#input = this.#input.subarray(line + 2);
    this.#chunk = size;
    this.complete = size === 0;
    return true;
  }

  #keep(bytes: number): void {
    this.#body.push(this.#input.subarray(0, bytes));
    this.#input = this.#input.subarray(bytes);
    if (this.#length === "chunked") this.#chunk -= bytes;
    else if (typeof this.#length === "number") {
      this.#length -= bytes;
      this.complete = this.#length === 0;
    }
  }
}
