import { createServer, type Socket } from "node:net";

/** One request on the raw backend, and the socket to answer it on, byte by byte. */
export interface RawExchange {
  /** The request line and header lines, without the empty line. */
  readonly head: string;
  readonly body: Uint8Array;
  /** Resolves when the socket is closed, by either side. */
  readonly closed: Promise<void>;
  /** Writes exactly these bytes; resolves when they have left, or the socket is closed. */
  write(data: Uint8Array | string): Promise<void>;
  /** Writes what is queued and closes the connection. */
  end(): void;
  /** Drops the connection at this point. */
  destroy(): void;
}

export interface RawBackend {
  /** `http://127.0.0.1:PORT/v1` */
  readonly url: string;
  /** Every exchange in order of arrival. */
  readonly exchanges: readonly RawExchange[];
  stop(): Promise<void>;
}

/**
 * Starts a backend that writes raw HTTP/1.1, for what no HTTP library sends: odd headers, broken framing, cut bodies. It understands request
 * bodies with a Content-Length and chunked ones, which it hands over still chunked. A connection serves one exchange after the other, so a handler that
 * neither ends nor destroys it keeps it alive. A handler that throws drops it.
 */
export async function startRawBackend(handler: (exchange: RawExchange) => void | Promise<void>): Promise<RawBackend> {
  const exchanges: RawExchange[] = [];
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    const closed = Promise.withResolvers<void>();
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      closed.resolve();
    });
    serve(socket, closed.promise, async exchange => {
      exchanges.push(exchange);
      await handler(exchange);
    });
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = address !== null && typeof address === "object" ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    exchanges,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function serve(socket: Socket, closed: Promise<void>, handle: (exchange: RawExchange) => Promise<void>): void {
  let input = Buffer.alloc(0);
  let queue = Promise.resolve();
  socket.on("data", (chunk: Buffer) => {
    input = Buffer.concat([input, chunk]);
    for (let size = requestSize(input); size !== undefined; size = requestSize(input)) {
      const split = input.indexOf("\r\n\r\n");
      const exchange: RawExchange = {
        head: input.subarray(0, split).toString("latin1"),
        body: new Uint8Array(input.subarray(split + 4, size)),
        closed,
        write: data => Promise.race([closed, new Promise<void>(resolve => socket.write(data, () => resolve()))]),
        end: () => socket.end(),
        destroy: () => socket.destroy(),
      };
      input = input.subarray(size);
      queue = queue.then(() => handle(exchange)).catch(() => void socket.destroy());
    }
  });
}

/** The length of the first whole request in `input`, or undefined while some of it is missing. */
function requestSize(input: Buffer): number | undefined {
  const split = input.indexOf("\r\n\r\n");
  if (split < 0) return undefined;
  const head = input.subarray(0, split).toString("latin1");
  if (/^transfer-encoding:.*chunked/im.test(head)) {
    const last = input.indexOf("\r\n0\r\n\r\n", split + 2);
    return last < 0 ? undefined : last + 7;
  }
  const size = split + 4 + Number(/^content-length:\s*(\d+)/im.exec(head)?.[1] ?? 0);
  return input.length < size ? undefined : size;
}
