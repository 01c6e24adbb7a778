// Where agents come in.
import type { Route } from "../../modules/route.ts";
import { SUBPROTOCOL } from "../../protocol/limits.ts";
import { peerOf } from "../proxy/pipeline.ts";
import { type Connection, offers, type WorkerDoor } from "./connect.ts";

/** The server whose connections become WebSockets. */
export type Upgrader = Bun.Server<Connection>;

/** The route by which the agents of a module connect. */
export function connectRoute(id: string, door: WorkerDoor, server: () => Upgrader): Route {
  return {
    method: "GET",
    path: `/api/${id}/connect`,
    tag: id,
    auth: "client",
    // An agent without a key in its headers may bring it in its first message.
    ownCheck: true,
    errors: "text",
    operation: {
      summary: "Connect an agent",
      responses: { 101: { description: "The connection is a WebSocket now." } },
    },
    answer: ({ request }) => upgrade(request, door, server()),
  };
}

function upgrade(request: Request, door: WorkerDoor, server: Upgrader): Response | undefined {
  const verdict = door.receive(request, peerOf(request, server));
  if (verdict instanceof Response) return verdict;
  const headers = offers(request) ? { "sec-websocket-protocol": SUBPROTOCOL } : {};
  if (server.upgrade(request, { data: verdict, headers })) return undefined;
  return new Response("the WebSocket handshake is not sound", { status: 400 });
}
