// Where agents come in.
import { z } from "zod";
import type { Operation, Route } from "../../modules/route.ts";
import { SUBPROTOCOL } from "../../protocol/limits.ts";
import { peerOf } from "../proxy/pipeline.ts";
import { type AgentAcceptor, offers } from "./agent-acceptor.ts";
import type { Connection } from "./socket.ts";

/** The server whose connections become WebSockets. */
export type Upgrader = Bun.Server<Connection>;

/** The route by which the agents of a module connect. */
export function connectRoute(id: string, door: AgentAcceptor, server: () => Upgrader): Route {
  return {
    method: "GET",
    path: `/api/${id}/connect`,
    tag: id,
    auth: "client",
    // An agent without a key in its headers may bring it in its first message.
    ownCheck: true,
    errors: "text",
    operation: CONNECT,
    answer: ({ request }) => upgrade(request, door, server()),
  };
}

function upgrade(request: Request, door: AgentAcceptor, server: Upgrader): Response | undefined {
  const verdict = door.receive(request, peerOf(request, server));
  if (verdict instanceof Response) return verdict;
  const headers = offers(request) ? { "sec-websocket-protocol": SUBPROTOCOL } : {};
  if (server.upgrade(request, { data: verdict, headers })) return undefined;
  return new Response("the WebSocket handshake is not sound", {
    status: 400,
    headers: { "content-type": "text/plain" },
  });
}

const CONNECT: Operation = {
  summary: "Connect an agent",
  description:
    "For agents, not for browsers: the request becomes a WebSocket on which the wire protocol is spoken. The key may come in the agent's first message as well.",
  parameters: [
    {
      name: "Sec-WebSocket-Protocol",
      in: "header",
      description: "What the agent speaks; one that offers nothing is taken for one of the older series.",
      example: SUBPROTOCOL,
    },
  ],
  responses: {
    101: { description: "The connection is a WebSocket now." },
    400: { description: "The handshake is not sound.", content: [{ type: "text/plain", schema: z.string() }] },
    426: { description: "The request asks for no WebSocket.", content: [{ type: "text/plain", schema: z.string() }] },
    503: {
      description: "The broker is about to stop, or has too many agents.",
      headers: { "Retry-After": "Seconds after which to ask again." },
      content: [{ type: "text/plain", schema: z.string(), example: "draining" }],
    },
  },
};
