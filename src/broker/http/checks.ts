// Who may pass, by the class that a route declares.
import type { AuthClass, PeerServer } from "../../modules/route.ts";
import type { AdminAuthenticator, Authenticator } from "../auth.ts";
import { peerOf } from "../proxy/pipeline.ts";
import type { Tickets } from "./tickets.ts";

/** Throws when the caller may not pass. */
export type Check = (request: Request, server: PeerServer) => void;

/** The doors of a broker. */
export interface Authenticators {
  readonly api: Authenticator;
  readonly client: Authenticator;
  readonly admin: AdminAuthenticator;
  readonly tickets: Tickets;
}

/** The check of every class; undefined where the broker asks for nothing. */
export function checksOf({
  api,
  client,
  admin,
  tickets,
}: Authenticators): Readonly<Record<AuthClass, Check | undefined>> {
  return {
    none: undefined,
    api: anyOf(api),
    client: anyOf(client),
    "api-or-client": anyOf(api, client),
    "api-or-admin": (request, server) => {
      if (!admin.admits(request.headers))
        withTicket(tickets, request, api).check(request.headers, () => peerOf(request, server));
    },
    admin: (request, server) => admin.check(request.headers, () => peerOf(request, server)),
    relay: undefined,
  };
}

/** A door that a ticket for what the request asks opens, too. */
export function withTicket(tickets: Tickets, request: Request, door: Checked): Checked {
  return tickets.of(request) === undefined ? door : OPEN;
}

/** As much of a door as judges a request. */
export type Checked = Pick<Authenticator, "check">;

const OPEN: Checked = { check: () => {} };

/** True when a request comes from an operator, or with a ticket that one has made. */
export function isOperator(request: Request, { admin, tickets }: Pick<Authenticators, "admin" | "tickets">): boolean {
  return admin.admits(request.headers) || tickets.of(request)?.operator === true;
}

/** Lets in whom any of the doors admits. */
export function anyOf(first: Authenticator, ...others: readonly Authenticator[]): Check {
  const doors = [first, ...others];
  return (request, server) => {
    const peer = (): string => peerOf(request, server);
    if (!doors.some(door => door.admits(request.headers, peer))) throw first.refusal(request.headers, peer);
  };
}
