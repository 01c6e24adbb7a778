/** One keep-alive HTTP/1.1 connection over a raw socket, one exchange at a time. */
import type { Socket } from "bun";
import { ResponseReader } from "./http-reader.ts";
import type { Target } from "./jobs.ts";

/** Callbacks of one request. Exactly one of `done` and `failed` is called. */
export interface Exchange {
  body?(part: Buffer): void;
  done(status: number): void;
  failed(reason: string): void;
}

/** A complete request in one piece, so that it costs one write. */
export function requestBytes(target: Target, body: string): Buffer {
  return Buffer.from(`${requestHead(target, Buffer.byteLength(body))}${body}`);
}

export function requestHead(target: Target, length: number): string {
  const auth = target.token === undefined ? "" : `Authorization: Bearer ${target.token}\r\n`;
  return (
    `POST ${target.path} HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\n${auth}` +
    `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`
  );
}

/** The whole of a GET request. */
export function readHead(target: Target): string {
  const auth = target.token === undefined ? "" : `Authorization: Bearer ${target.token}\r\n`;
  return `GET ${target.path} HTTP/1.1\r\nHost: 127.0.0.1:${target.port}\r\n${auth}\r\n`;
}

export class Connection {
  #socket: Socket | null = null;
  #exchange: Exchange | null = null;
  #status = 0;
  #unsent: Buffer | null = null;
  #drained: (() => void) | null = null;
  #reader = new ResponseReader({
    onHead: status => {
      this.#status = status;
    },
    onBody: part => this.#exchange?.body?.(part),
    onEnd: () => {
      const exchange = this.#exchange;
      this.#exchange = null;
      exchange?.done(this.#status);
    },
  });

  static async open(port: number): Promise<Connection> {
    const connection = new Connection();
    connection.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, bytes) => connection.#received(bytes),
        drain: () => connection.#flush(),
        close: () => connection.#closed(),
        error: () => connection.#closed(),
      },
    });
    return connection;
  }

  get isOpen(): boolean {
    return this.#socket !== null;
  }

  /** Sends one request. `bytes` may be a head whose body follows by `write`. */
  send(bytes: Buffer, exchange: Exchange): void {
    if (this.#exchange !== null) throw new Error("this connection is busy");
    this.#exchange = exchange;
    this.#status = 0;
    this.#push(bytes);
  }

  /** Sends more of a request body; resolves when the kernel has taken all of it, or the connection is gone. */
  async write(bytes: Buffer): Promise<void> {
    this.#push(bytes);
    if (this.#unsent === null || this.#socket === null) return;
    await new Promise<void>(resolve => {
      this.#drained = resolve;
    });
  }

  close(): void {
    this.#exchange = null;
    this.#socket?.terminate();
    this.#gone();
  }

  #push(bytes: Buffer): void {
    if (this.#socket === null) {
      this.#fail("connection closed");
      return;
    }
    this.#unsent = this.#unsent === null ? bytes : Buffer.concat([this.#unsent, bytes]);
    this.#flush();
  }

  #flush(): void {
    if (this.#unsent === null || this.#socket === null) return;
    const written = Math.max(0, this.#socket.write(this.#unsent));
    this.#unsent = written >= this.#unsent.length ? null : this.#unsent.subarray(written);
    if (this.#unsent === null) this.#wake();
  }

  #received(bytes: Buffer): void {
    try {
      this.#reader.feed(bytes);
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
      this.close();
    }
  }

  #closed(): void {
    if (this.#socket === null) return;
    this.#gone();
    if (!this.#reader.ended()) this.#fail("connection closed before the response was complete");
  }

  #gone(): void {
    this.#socket = null;
    this.#unsent = null;
    this.#wake();
  }

  #wake(): void {
    const resolve = this.#drained;
    this.#drained = null;
    resolve?.();
  }

  #fail(reason: string): void {
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.failed(reason);
  }
}
