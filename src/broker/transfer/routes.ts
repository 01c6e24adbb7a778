// The routes of the transfer channels.

import type { NfrxError } from "../../lib/errors.ts";
import type { HttpMethod, Operation, Route } from "../../modules/route.ts";
import { OPEN, PUT, READ, WRITE } from "./operations.ts";
import { CHANNEL_METHODS, type Transfers } from "./transfers.ts";

export function transferRoutes(transfers: Transfers): Route[] {
  const common = {
    tag: "transfer",
    takesUpload: true,
    countRefusal: (error: NfrxError) => transfers.countRefusal(error),
    errors: "word",
  } as const;
  const route = (method: HttpMethod, path: string, operation: Operation, answer: Route["answer"]): Route => ({
    ...common,
    method,
    path,
    scopes: ["transfer", "client"],
    operation,
    answer,
  });
  /** Refuses a method, which touches no channel. */
  const refusal = (method: HttpMethod, path: string, allow: string): Route => ({
    ...common,
    method,
    path,
    scopes: ["public"],
    operation: undefined,
    answer: ({ request }) => transfers.refuse(request, allow),
  });
  const [all, one] = ["/api/transfer", "/api/transfer/:id"];
  return [
    { ...route("POST", all, OPEN, call => transfers.open(call)), drain: "refuse" },
    route("GET", one, READ, call => transfers.read(call)),
    route("POST", one, WRITE, call => transfers.write(call)),
    route("PUT", one, PUT, call => transfers.write(call)),
    ...(["PATCH", "DELETE", "OPTIONS"] as const).map(method => refusal(method, one, CHANNEL_METHODS)),
    ...(["GET", "PUT", "PATCH", "DELETE", "OPTIONS"] as const).map(method => refusal(method, all, "POST")),
  ];
}
