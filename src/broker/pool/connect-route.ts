// Where agents come in.
import { z } from "zod";
import type { Operation, Requirement, Route, RouteCall } from "../../modules/route.ts";
import { SUBPROTOCOL } from "../../protocol/limits.ts";
import { peerOf } from "../http/access/principal.ts";
import type { WebSocketServer } from "../http/web-socket.ts";
import { type AgentAcceptor, offers } from "./agent-acceptor.ts";

/** The route by which the agents of a module connect. */
export function connectRoute(id: string, acceptor: AgentAcceptor, server: () => WebSocketServer): Route {
  return {
    method: "GET",
    path: `/api/${id}/connect`,
    tag: id,
    scopes: ["client"],
    requires: request => (offers(request) ? KEY_IN_HEADERS : KEY_MAY_FOLLOW),
    drain: "refuse",
    countRefusal: error => acceptor.countRefusal(error),
    errors: "text",
    operation: CONNECT,
    answer: call => upgrade(call, acceptor, server()),
  };
}

const KEY_IN_HEADERS: Requirement = { scopes: ["client"] };
/** An agent of the 0.9 series may bring its key in its first message. */
const KEY_MAY_FOLLOW: Requirement = { scopes: ["client"], keyMayFollow: true };

function upgrade(
  { request, principal }: RouteCall,
  acceptor: AgentAcceptor,
  server: WebSocketServer,
): Response | undefined {
  const verdict = acceptor.receive(request, principal, peerOf(request, server));
  if (verdict instanceof Response) return verdict;
  const headers = offers(request) ? { "sec-websocket-protocol": SUBPROTOCOL } : {};
  if (server.upgrade(request, { data: verdict, headers })) return undefined;
  return new Response("invalid WebSocket handshake", {
    status: 400,
    headers: { "content-type": "text/plain" },
  });
}

const CONNECT: Operation = {
  summary: "Connect an agent",
  description:
    "For agents, not for browsers: the request is upgraded to a WebSocket for the wire protocol. The agent can also send the key in its first message.",
  parameters: [
    {
      name: "Sec-WebSocket-Protocol",
      in: "header",
      description: "Protocol of the agent; an agent that offers none is treated as 0.9.",
      example: SUBPROTOCOL,
    },
  ],
  responses: {
    101: { description: "The connection is upgraded to a WebSocket." },
    400: { description: "Invalid handshake.", content: [{ type: "text/plain", schema: z.string() }] },
    426: {
      description: "The request is not a WebSocket upgrade.",
      content: [{ type: "text/plain", schema: z.string() }],
    },
    503: {
      description: "The broker is shutting down, or has too many agents.",
      headers: { "Retry-After": "Seconds to wait before retrying." },
      content: [{ type: "text/plain", schema: z.string(), example: "draining" }],
    },
  },
};
