// A worker's answer as a client's response, with the status and headers that the backend gave it.

import { headerOf } from "../../../lib/http.ts";
import { addUnbuffered } from "../../../lib/response-headers.ts";
import { SseEventBoundary } from "../../../lib/sse-event-boundary.ts";
import type { WorkerAnswer } from "../dispatch.ts";
import type { Exchange } from "../exchange.ts";
import { formOf, Pump, type RespondContext, requireSmall } from "./pump.ts";
import { modelHeaders, routingHeaders } from "./served-headers.ts";
import { tapFor } from "./tap.ts";

/** The worker's answer as it is: status, headers and bytes. */
export function passThrough(answer: WorkerAnswer, exchange: Exchange, context: RespondContext): Response {
  const { head, stream } = answer;
  const { id, access, url } = exchange.request;
  const { headers, content } = context.policy.apply(head.headers, id, url);
  for (const [name, value] of modelHeaders(exchange)) headers.append(name, value);
  if (context.expose) for (const [name, value] of routingHeaders(exchange)) headers.append(name, value);
  const tap = tapFor(head.status, content, exchange);
  exchange.tap = tap;
  const form = formOf(content, context);
  if (form === "other")
    requireSmall(Math.max(stream.buffered, Number(headerOf(head.headers, "content-length") ?? 0)), context);
  else addUnbuffered(headers);
  access.status = head.status;
  if (stream.arrived) {
    const bytes = stream.take();
    access.bytesOut = bytes?.length ?? 0;
    if (bytes !== undefined && form === "events") requireSmall(new SseEventBoundary().feed(bytes), context);
    if (bytes !== undefined) tap?.feed(bytes, true);
    return new Response(bytes ?? null, { status: head.status, headers });
  }
  exchange.streams();
  const pump = new Pump(stream, exchange, context, tap, form);
  return new Response(pump.body(), { status: head.status, headers });
}
