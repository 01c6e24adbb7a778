// Connects to a broker: WebSocket handshake, wire version, and error messages.
import { messageOf } from "../lib/errors.ts";
import type { Clock } from "../lib/time.ts";
import { CLOSE_POLICY, DIAL_MS, SUBPROTOCOL } from "../protocol/limits.ts";
import { Link } from "../protocol/link.ts";
import type { LinkEvents, Socket, Wire } from "../protocol/wire.ts";
import { type HttpProxy, proxyTrouble } from "./proxy.ts";

/** A broker as an agent dials it. */
export type BrokerEndpoint = Omit<DialOptions, "clock" | "events" | "signal">;

export interface DialOptions {
  /** The module of this endpoint. */
  module: string;
  url: string;
  clientKey: string | undefined;
  /** Headers for a gateway in front of the broker. */
  headers: Readonly<Record<string, string>>;
  /** PEM of an additional CA to trust. */
  ca: string | undefined;
  /** The proxy on the way, if there is one. */
  proxy: HttpProxy | undefined;
  /** The codec of the version that the broker selects. */
  wire: (version: 1 | 2) => (link: Link) => Wire;
  clock: Clock;
  events: LinkEvents;
  /** Gives the attempt up. */
  signal?: AbortSignal;
}

/** Error of Bun's client if a server selects none of the offered subprotocols, as a v1 broker does. */
const NO_SUBPROTOCOL = "Missing client protocol";

/** Connects: with wire v2 when the broker picks it, else with v1. Rejects with the reason, as far as it can be found out. */
export async function dial(options: DialOptions): Promise<Link> {
  if (options.proxy?.problem !== undefined) throw new DialRefusal(options.proxy.problem, true);
  try {
    return await connect(options, [SUBPROTOCOL]);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    if (!messageOf(error).includes(NO_SUBPROTOCOL)) throw await diagnose(options, messageOf(error));
  }
  return connect(options, []);
}

class ClientSocket implements Socket {
  constructor(private readonly ws: WebSocket) {}

  send(message: Uint8Array | string): boolean {
    if (this.ws.readyState !== WebSocket.OPEN) return false;
    this.ws.send(message as Uint8Array<ArrayBuffer> | string);
    return true;
  }

  buffered(): number {
    return this.ws.bufferedAmount;
  }

  close(code: number, reason: string): void {
    this.ws.close(code, reason);
  }

  terminate(): void {
    this.ws.terminate();
  }

  ping(): void {
    this.ws.ping();
  }
}

function connect(options: DialOptions, protocols: string[]): Promise<Link> {
  const { promise, resolve, reject } = Promise.withResolvers<Link>();
  const ws = new WebSocket(options.url, {
    ...(protocols.length > 0 && { protocols }),
    headers: headersOf(options),
    ...(options.ca !== undefined && { tls: { ca: options.ca } }),
    ...(options.proxy?.url !== undefined && { proxy: options.proxy.url }),
  });
  ws.binaryType = "nodebuffer";
  let link: Link | undefined;
  // Bun itself gives up a stalled handshake only after two minutes.
  const giveUp = (reason: string): void => {
    settle();
    ws.terminate();
    reject(new Error(reason));
  };
  const onAbort = (): void => giveUp("canceled");
  const timer = options.clock.after(DIAL_MS, () => giveUp(`no response within ${DIAL_MS / 1000} seconds`));
  const settle = (): void => {
    timer.cancel();
    options.signal?.removeEventListener("abort", onAbort);
  };
  options.signal?.addEventListener("abort", onAbort);
  if (options.signal?.aborted) onAbort();
  ws.addEventListener("open", () => {
    settle();
    const version = ws.protocol === SUBPROTOCOL ? 2 : 1;
    link = new Link({
      socket: new ClientSocket(ws),
      clock: options.clock,
      side: "agent",
      wire: options.wire(version),
      events: options.events,
    });
    resolve(link);
  });
  ws.addEventListener("message", event => {
    const { data } = event;
    if (typeof data === "string" || data instanceof Uint8Array) link?.receive(data);
  });
  ws.addEventListener("pong", () => link?.ponged());
  ws.addEventListener("error", event =>
    reject(new Error("message" in event ? String(event.message) : "the connection failed")),
  );
  ws.addEventListener("close", event => {
    settle();
    reject(new Error(event.reason || `closed with ${event.code}`));
    link?.lost(event.code, event.reason);
  });
  return promise;
}

/** Headers of the handshake: the agent's key, and those for a gateway. */
function headersOf({ clientKey, headers }: DialOptions): Record<string, string> {
  return { ...headers, ...(clientKey !== undefined && { authorization: `Bearer ${clientKey}` }) };
}

/** Queries the same address over plain HTTP for the reason of a refusal, which a WebSocket client does not get. */
async function diagnose(options: DialOptions, message: string): Promise<Error> {
  const { proxy } = options;
  // Direct reachability says nothing about the proxy, and vice versa.
  const byProxy = (outcome: Response | Error): Error | undefined => {
    const trouble = proxy && proxyTrouble(proxy, outcome);
    return trouble && new DialRefusal(trouble.message, trouble.permanent);
  };
  const refused = byProxy(new Error(message));
  if (refused !== undefined) return refused;
  try {
    const timeout = AbortSignal.timeout(DIAL_MS);
    const response = await fetch(options.url.replace(/^ws/, "http"), {
      signal: options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]),
      redirect: "manual",
      headers: headersOf(options),
      ...(options.ca !== undefined && { tls: { ca: options.ca } }),
      ...(proxy?.url !== undefined && { proxy: proxy.url }),
    });
    const refusedNow = byProxy(response);
    if (refusedNow !== undefined) return refusedNow;
    await response.body?.cancel();
    // The handshake's own status, if Bun reports it: a plain GET may fail for another reason.
    const status = Number(/status code: (\d{3})/.exec(message)?.[1] ?? response.status);
    return refusal(options, status, response.headers.get("location")) ?? new Error(`${message} (status ${status})`);
  } catch (error) {
    return byProxy(error instanceof Error ? error : new Error(String(error))) ?? new Error(messageOf(error));
  }
}

/** A broker, or another server, has rejected the agent with a reason. */
export class DialRefusal extends Error {
  override readonly name = "Refusal";

  constructor(
    message: string,
    /** Waiting does not mend it: a person has to change something. */
    readonly permanent: boolean,
  ) {
    super(message);
  }
}

function refusal(
  { url, module, clientKey }: DialOptions,
  status: number,
  location: string | null,
): DialRefusal | undefined {
  if (status >= 300 && status < 400)
    return new DialRefusal(
      `the address redirects to ${location}: correct SERVER_URL, or set AGENT_HEADERS if a gateway requires a login`,
      true,
    );
  if (status === 503) return new DialRefusal("the broker is draining or full", false);
  if (status === 429) return new DialRefusal("the broker received too many wrong keys from this address", false);
  const path = new URL(url).pathname;
  if (status < 500 && !path.endsWith(`/api/${module}/connect`))
    return new DialRefusal(
      `${path} is not an agent endpoint (status ${status}): SERVER_URL must end in /api/${module}/connect`,
      true,
    );
  if (status === 401 || status === 403) return new DialRefusal(keyRefused(clientKey), true);
  if (status === 404) return new DialRefusal("no broker at this address (404); check SERVER_URL", true);
  return undefined;
}

/** The reason for which a broker closed a connection before accepting the agent. */
export function dialRefusal({ clientKey }: Pick<DialOptions, "clientKey">, code: number, reason: string): Error {
  if (code !== CLOSE_POLICY) return new Error(`the connection was closed: ${code} ${reason}`.trim());
  if (reason === "unauthorized") return new DialRefusal(keyRefused(clientKey), true);
  if (reason === "id in use")
    return new DialRefusal(
      `another agent is connected under this ID (${code} ${reason}): stop it, or set another CLIENT_ID`,
      true,
    );
  return new DialRefusal(`the broker rejected this agent: ${code} ${reason}`.trim(), true);
}

function keyRefused(clientKey: string | undefined): string {
  return clientKey === undefined
    ? "the broker requires a key: set CLIENT_KEY"
    : "the broker rejected the key (CLIENT_KEY)";
}
