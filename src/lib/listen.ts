// Starts a server: no development pages, no internal errors in responses, no malformed requests.
import type { Address } from "./address.ts";
import { codeOf, messageOf } from "./errors.ts";
import { requestReader } from "./request-line.ts";

/** The response; undefined if the connection was upgraded to a WebSocket. */
export type Answer = Response | undefined | Promise<Response | undefined>;

interface ServerOptions<C> extends HandlerOptions<C> {
  /** The option that names the address, for the error when it cannot be had. */
  readonly option: string;
  readonly address: Address;
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Idle timeout of a socket, in seconds; 10 by default. */
  readonly idleSeconds?: number;
}

interface HandlerOptions<C> {
  readonly answer: (request: Request, server: Bun.Server<C>) => Answer;
  /** Called with an error of `answer`; the client gets a 500 without details. */
  readonly onError?: (error: unknown) => void;
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

/** Starts a server on a Unix socket that is not there yet. Throws when it cannot be made. */
export function serveSocket(path: string, options: HandlerOptions<undefined>): Bun.Server<undefined> {
  return Bun.serve({ unix: path, ...handlers(options) });
}

function common<C>({ address: { host, port }, tls, idleSeconds, ...options }: ServerOptions<C>) {
  return {
    port,
    ...(host !== "" && { hostname: host }),
    ...(tls !== undefined && { tls: { ...tls } }),
    reusePort: false,
    idleTimeout: idleSeconds ?? IDLE_SECONDS,
    ...handlers(options),
  };
}

function handlers<C>({ answer, onError, maxBodyBytes }: HandlerOptions<C>) {
  const read = requestReader();
  return {
    // Bun's development pages show directories and source code.
    development: false,
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
