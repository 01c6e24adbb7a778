// The routes of the transfer channels.
import type { HttpMethod, Operation, Route } from "../../modules/route.ts";
import { OPEN, PUT, READ, WRITE } from "./operations.ts";
import type { Transfers } from "./transfers.ts";

export function transferRoutes(transfers: Transfers): Route[] {
  const route = (
    method: HttpMethod,
    path: string,
    operation: Operation | undefined,
    answer: Route["answer"],
  ): Route => ({
    method,
    path,
    tag: "transfer",
    auth: "api-or-client",
    ownCheck: true,
    errors: "word",
    operation,
    answer,
  });
  const [all, one] = ["/api/transfer", "/api/transfer/:id"];
  return [
    route("POST", all, OPEN, call => transfers.open(call)),
    route("GET", one, READ, call => transfers.read(call)),
    route("POST", one, WRITE, call => transfers.write(call)),
    route("PUT", one, PUT, call => transfers.write(call)),
    ...(["PATCH", "DELETE", "OPTIONS"] as const).map(method =>
      route(method, one, undefined, call => transfers.refuse(call)),
    ),
    ...(["GET", "PUT", "PATCH", "DELETE", "OPTIONS"] as const).map(method =>
      route(method, all, undefined, call => transfers.refuse(call, "POST")),
    ),
  ];
}
