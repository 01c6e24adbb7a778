// The one way to start a server: no development pages, no error that shows its inside, no request that cannot be read.
import type { Address } from "./address.ts";
import { codeOf, messageOf } from "./errors.ts";
import { requestReader } from "./request-line.ts";

/** What a server answers; undefined when the connection has become a WebSocket. */
export type Answer = Response | undefined | Promise<Response | undefined>;

interface ServerOptions<C> {
  /** The option that names the address, for the error when it cannot be had. */
  readonly option: string;
  readonly address: Address;
  readonly answer: (request: Request, server: Bun.Server<C>) => Answer;
  /** Called with what `answer` threw; the client gets a 500 that does not show it. */
  readonly onError?: (error: unknown) => void;
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Seconds that a socket may be silent; 10 unless said otherwise. */
  readonly idleSeconds?: number;
  /** Bytes of a request body; 64 KiB unless said otherwise. */
  readonly maxBodyBytes?: number;
}

/** Maximum request body at a server that expects none, in bytes. */
const BODY_BYTES = 64 * 1024;
const IDLE_SECONDS = 10;

/** Starts a server. Throws an error that names the option whose address cannot be had, and why. */
export function serve(options: ServerOptions<undefined>): Bun.Server<undefined> {
  return listening(options.option, options.address, () => Bun.serve(common(options)));
}

/** The same for a server whose connections may become WebSockets. */
export function serveWebSockets<C>(
  options: ServerOptions<C> & { readonly websocket: Bun.WebSocketHandler<C> },
): Bun.Server<C> {
  const { option, address, websocket } = options;
  return listening(option, address, () => Bun.serve<C>({ ...common(options), websocket }));
}

function common<C>({ address, answer, onError, tls, idleSeconds, maxBodyBytes }: ServerOptions<C>) {
  const { host, port } = address;
  const read = requestReader();
  return {
    port,
    ...(host !== "" && { hostname: host }),
    ...(tls !== undefined && { tls: { ...tls } }),
    reusePort: false,
    // Bun's development pages show folders and source to anybody.
    development: false,
    idleTimeout: idleSeconds ?? IDLE_SECONDS,
    maxRequestBodySize: maxBodyBytes ?? BODY_BYTES,
    // Bun takes undefined for a request that has been upgraded; its types do not know that.
    fetch(request: Request, server: Bun.Server<C>): Response | Promise<Response> {
      const readable = read(request);
      if (readable instanceof Response) return readable;
      return answer(readable, server) as Response | Promise<Response>;
    },
    error(thrown: unknown): Response {
      onError?.(thrown);
      return Response.json({ error: "internal", message: "internal error" }, { status: 500 });
    },
  };
}

function listening<S>(option: string, { host, port }: Address, start: () => S): S {
  try {
    return start();
  } catch (error) {
    const why = WHY[codeOf(error)] ?? messageOf(error);
    throw new Error(`${option}: cannot listen on ${host === "" ? "" : `${host}:`}${port}: ${why}`, { cause: error });
  }
}

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program uses this port",
  EADDRNOTAVAIL: "no interface of this machine has this address",
  EACCES: "permission denied",
};

/** Serves /metrics, and nothing else, on an address of its own. Throws when that cannot be had. */
export function serveMetrics(address: Address, answer: () => Promise<Response>): Bun.Server<undefined> {
  return serve({
    option: "METRICS_PORT",
    address,
    answer: request =>
      new URL(request.url).pathname === "/metrics" ? answer() : new Response("not found", { status: 404 }),
  });
}
