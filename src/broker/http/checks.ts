// Who may pass, by the class that a route declares.
import type { AuthClass, PeerServer } from "../../modules/route.ts";
import type { AdminDoor, Door } from "../auth.ts";
import { peerOf } from "../proxy/pipeline.ts";

/** Throws when the caller may not pass. */
export type Check = (request: Request, server: PeerServer) => void;

/** The doors of a broker. */
export interface Doors {
  readonly api: Door;
  readonly client: Door;
  readonly admin: AdminDoor;
}

/** The check of every class; undefined where the broker asks for nothing. */
export function checksOf({ api, client, admin }: Doors): Readonly<Record<AuthClass, Check | undefined>> {
  return {
    none: undefined,
    api: anyDoor(api),
    client: anyDoor(client),
    "api-or-client": anyDoor(api, client),
    "api-or-admin": (request, server) => {
      if (!admin.admits(request.headers)) api.check(request.headers, () => peerOf(request, server));
    },
    admin: (request, server) => admin.check(request.headers, () => peerOf(request, server)),
    relay: undefined,
  };
}

/** Lets in whom any of the doors admits. */
export function anyDoor(first: Door, ...others: readonly Door[]): Check {
  const doors = [first, ...others];
  return (request, server) => {
    const peer = (): string => peerOf(request, server);
    if (!doors.some(door => door.admits(request.headers, peer))) throw first.refusal(request.headers, peer);
  };
}
