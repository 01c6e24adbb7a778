// The WebSockets that follow what workers keep: how a request becomes one, and how many there may be.
import { z } from "zod";
import type { Drain } from "../../../lib/drain.ts";
import type { Clock } from "../../../lib/time.ts";
import type { PublicEndpoint, Watch } from "../../../modules/module.ts";
import type { Reply, RouteCall } from "../../../modules/route.ts";
import { Shares } from "../../http/access/shares.ts";
import type { Failing } from "../../http/end.ts";
import type { WebSocketServer } from "../../http/web-socket.ts";
import type { Pipeline } from "../pipeline.ts";
import { Poll } from "./poll.ts";
import { WatchSocket } from "./watch-socket.ts";

/** Maximum number of WebSockets that follow tasks; a caller can have half of them. */
export const WATCHES_MAX = 256;

export interface WatchesOptions {
  readonly clock: Clock;
  readonly drain: Drain;
  readonly metrics: Failing["metrics"];
}

/** The query of a WebSocket, and its worker. */
export interface Watched {
  readonly pipeline: Pipeline;
  readonly endpoint: PublicEndpoint;
  readonly watch: Watch;
  readonly server: WebSocketServer;
}

export class Watches {
  readonly #shares = new Shares(WATCHES_MAX, "task WebSockets");
  readonly #open = new Set<WatchSocket>();

  constructor(private readonly options: WatchesOptions) {
    options.drain.onBegin(() => this.close());
  }

  /** How many are open, or about to be. */
  get size(): number {
    return this.#shares.size;
  }

  /** Asks once, so that every refusal is a plain response, and makes the connection a WebSocket when the answer is one to follow. */
  open(call: RouteCall, watched: Watched): Response | Promise<Response | undefined> {
    const { request, server, principal } = call;
    const { pipeline, endpoint, watch } = watched;
    const poll = new Poll({ ...this.options, call, endpoint, pipeline, queryHeaders: watch.queryHeaders });
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return notWebSocket();
    const release = this.#shares.take(principal.caller);
    server.timeout(request, 0);
    return this.#begin(call, poll, watched, release);
  }

  /** Asks every client to come back later. */
  close(): void {
    for (const socket of [...this.#open]) socket.restart();
  }

  async #begin(
    { request, access }: RouteCall,
    poll: Poll,
    { watch, server }: Watched,
    release: () => void,
  ): Promise<Response | undefined> {
    const ended = access.streams();
    const onAbort = (): void => poll.stop();
    request.signal.addEventListener("abort", onAbort);
    const first = await poll.ask(answer => watch.opening(answer));
    request.signal.removeEventListener("abort", onAbort);
    if ("response" in first) {
      release();
      first.access.becomes(access, ended);
      return first.response;
    }
    access.workerId = first.workerId;
    const socket = new WatchSocket({
      watch,
      poll,
      first,
      clock: this.options.clock,
      access,
      ended,
      onEnd: () => {
        this.#open.delete(socket);
        release();
      },
    });
    this.#open.add(socket);
    access.onCut = () => socket.cut();
    if (server.upgrade(request, { data: socket })) return undefined;
    this.#open.delete(socket);
    release();
    const refused = new Response("invalid WebSocket handshake", {
      status: 400,
      headers: { "content-type": "text/plain" },
    });
    access.answered(refused);
    ended();
    return refused;
  }
}

function notWebSocket(): Response {
  return new Response("expected a WebSocket upgrade", { status: 426, headers: { upgrade: "websocket" } });
}

/** The response to a request that cannot be upgraded to a WebSocket. */
export const NO_WEBSOCKET: Readonly<Record<number, Reply>> = {
  400: { description: "Invalid handshake.", content: [{ type: "text/plain", schema: z.string() }] },
  426: {
    description: "The request is not a WebSocket upgrade.",
    content: [{ type: "text/plain", schema: z.string() }],
  },
};
