// Starts a server: no development pages, no internal errors in responses, no malformed requests.
import type { Address } from "./address.ts";
import { codeOf, messageOf } from "./errors.ts";
import { requestReader } from "./request-line.ts";

/** The response; undefined if the connection was upgraded to a WebSocket. */
export type Answer = Response | undefined | Promise<Response | undefined>;

interface ServerOptions<C> {
  /** The option that names the address, for the error when it cannot be had. */
  readonly option: string;
  readonly address: Address;
  readonly answer: (request: Request, server: Bun.Server<C>) => Answer;
  /** Called with an error of `answer`; the client gets a 500 without details. */
  readonly onError?: (error: unknown) => void;
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Idle timeout of a socket, in seconds; 10 by default. */
  readonly idleSeconds?: number;
  /** Maximum request body, in bytes; 64 KiB by default. */
  readonly maxBodyBytes?: number;
}

/** Maximum request body at a server that expects none, in bytes. */
const BODY_BYTES = 64 * 1024;
const IDLE_SECONDS = 10;

/** Starts a server. Throws an error with the option whose address cannot be used, and the reason. */
export function serve(options: ServerOptions<undefined>): Bun.Server<undefined> {
  return listening(options.option, options.address, () => Bun.serve(common(options)));
}

/** Starts a server with WebSocket support. */
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
    // Bun's development pages show directories and source code.
    development: false,
    idleTimeout: idleSeconds ?? IDLE_SECONDS,
    maxRequestBodySize: maxBodyBytes ?? BODY_BYTES,
    // Bun accepts undefined for an upgraded request; its types do not.
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
