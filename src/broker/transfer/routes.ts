import type { AnyElysia } from "elysia";
import { NfrxError } from "../../lib/errors.ts";
import type { Door } from "../auth.ts";
import { type PeerServer, peerOf } from "../proxy/pipeline.ts";
import type { Transfers, TransfersOptions } from "./transfers.ts";

/** Lets in whom any of the doors admits: channels are for callers of the API and for agents alike. */
export function anyDoor(...doors: readonly Door[]): TransfersOptions["authorize"] {
  return (request, server) => {
    const peer = (): string => peerOf(request, server);
    if (!doors.some(door => door.admits(request.headers, peer))) throw new NfrxError("unauthorized", "unauthorized");
  };
}

/** The routes of the transfer channels. */
export function mountTransfers(app: AnyElysia, transfers: Transfers, server: () => PeerServer): void {
  const [all, one] = ["/api/transfer", "/api/transfer/:id"];
  app.post(all, ({ request }) => transfers.open(request, server()), { parse: "none" });
  app.get(one, ({ request, params }) => transfers.read(params["id"] ?? "", request, server()), { parse: "none" });
  app.post(one, ({ request, params }) => transfers.write(params["id"] ?? "", request, server()), { parse: "none" });
  for (const method of ["PUT", "PATCH", "DELETE", "OPTIONS"]) {
    app.route(method, one, ({ request }) => transfers.refuse(request), { parse: "none" });
    app.route(method, all, ({ request }) => transfers.refuse(request, "POST"), { parse: "none" });
  }
  app.get(all, ({ request }) => transfers.refuse(request, "POST"));
}
