// How a page gets a ticket for a stream of events.
import { z } from "zod";
import { NfrxError } from "../../../lib/errors.ts";
import type { Operation, Parameter, Route } from "../../../modules/route.ts";
import type { BodyLimits } from "../body/body.ts";
import { readJson } from "../body/json-body.ts";
import { TICKET_MS, type Tickets } from "./tickets.ts";

export interface TicketRoutesOptions {
  readonly tickets: Tickets;
  readonly bodies: BodyLimits;
}

/** The streams that tickets are for. */
const STREAMS = /^\/api\/(?:state\/stream|jobs\/[\w-]{1,64}\/events)$/;

/** How a stream's route documents that it takes a ticket. */
export const TICKET: Parameter = {
  name: "ticket",
  in: "query",
  description: "Ticket for this path, from `POST /api/tickets`, instead of a key.",
};

export function ticketRoutes({ tickets, bodies }: TicketRoutesOptions): Route[] {
  return [
    {
      method: "POST",
      path: "/api/tickets",
      tag: "state",
      scopes: ["state", "admin"],
      errors: "plain",
      operation: ISSUE,
      answer: async call => {
        const { path } = (await readJson(call, bodies, wanted, false)).fields;
        if (!STREAMS.test(path))
          throw new NfrxError(
            "invalid_request",
            "path: tickets are available for /api/state/stream and /api/jobs/{id}/events",
            {
              param: "path",
            },
          );
        const { text, expiresAt } = tickets.issue({ path, maker: call.principal });
        const issued = { ticket: text, url: `${path}?ticket=${text}`, expires_at: new Date(expiresAt).toISOString() };
        return Response.json(issued, { headers: { "cache-control": "no-store" } });
      },
    },
  ];
}

const wanted = z
  .object({ path: z.string().describe("The stream: `/api/state/stream` or `/api/jobs/{id}/events`.") })
  .meta({ id: "TicketRequest", description: "Request for a stream ticket." });
const issued = z
  .object({
    ticket: z.string(),
    url: z.string().describe("Path and query of the stream, including the ticket."),
    expires_at: z.string().meta({ format: "date-time", description: "Expiry time of the ticket." }),
  })
  .meta({ id: "Ticket", description: "Read access to one stream." });

const ISSUE: Operation = {
  summary: "Get a ticket for a stream",
  description: `For a browser's EventSource, which cannot send a key. A ticket gives GET access to one path for ${TICKET_MS / 1000} seconds, any number of times. Open streams stay open after that.`,
  request: { content: [{ type: "application/json", schema: wanted, example: { path: "/api/state/stream" } }] },
  responses: {
    200: {
      description: "The ticket.",
      content: [
        {
          type: "application/json",
          schema: issued,
          example: {
            ticket: "x8Jq…",
            url: "/api/state/stream?ticket=x8Jq…",
            expires_at: "2026-01-01T12:01:00.000Z",
          },
        },
      ],
    },
  },
  failures: ["invalid_request", "too_large", "limit_exceeded", "overloaded"],
};
