// The routes of the transfer channels.
import type { HttpMethod, Operation, Route } from "../../modules/route.ts";
import { OPEN, READ, WRITE } from "./operations.ts";
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
    route("POST", all, OPEN, ({ request, server }) => transfers.open(request, server)),
    route("GET", one, READ, ({ request, server, params }) => transfers.read(params["id"] ?? "", request, server)),
    route("POST", one, WRITE, ({ request, server, params }) => transfers.write(params["id"] ?? "", request, server)),
    ...(["PUT", "PATCH", "DELETE", "OPTIONS"] as const).flatMap(method => [
      route(method, one, undefined, ({ request }) => transfers.refuse(request)),
      route(method, all, undefined, ({ request }) => transfers.refuse(request, "POST")),
    ]),
    route("GET", all, undefined, ({ request }) => transfers.refuse(request, "POST")),
  ];
}
