// Between an example and the broker: shows, cuts and changes what passes, like a broker that means harm.

export interface Passing {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  body: Buffer;
}

export class Between implements AsyncDisposable {
  readonly seen: Passing[] = [];
  #server: Bun.Server<undefined>;

  /** Sends everything to `origin`; `change` may alter a request. */
  constructor(
    private readonly origin: string,
    private readonly change: (passing: Passing) => void = () => {},
  ) {
    this.#server = this.#serve(0);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** What was written to transfer channels. */
  get written(): Buffer[] {
    return this.seen.filter(isTransfer).map(({ body }) => body);
  }

  /** Breaks every connection that there is now. */
  async cut(): Promise<void> {
    const { port } = this.#server;
    await this.#server.stop(true);
    this.#server = this.#serve(port ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  #serve(port: number): Bun.Server<undefined> {
    return Bun.serve({ port, hostname: "127.0.0.1", idleTimeout: 0, fetch: request => this.#pass(request) });
  }

  async #pass(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const headers = new Headers(request.headers);
    for (const name of ["host", "content-length", "transfer-encoding"]) headers.delete(name);
    const body = Buffer.from(await request.arrayBuffer());
    const passing: Passing = { method: request.method, path: pathname, headers, body };
    this.seen.push(passing);
    this.change(passing);
    const answer = await fetch(this.origin + pathname + search, {
      method: request.method,
      headers,
      ...(body.length > 0 && { body: new Uint8Array(passing.body) }),
      signal: request.signal,
      keepalive: false,
      decompress: false,
    });
    return new Response(answer.body, answer);
  }
}

/** True for bytes on their way into a transfer channel. */
export function isTransfer({ method, path }: Passing): boolean {
  return method === "POST" && path.startsWith("/api/transfer/");
}
