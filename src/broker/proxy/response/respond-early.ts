// A response that begins before its answer is known.

import { toNfrxError } from "../../../lib/errors.ts";
import { contentOf } from "../../../lib/http.ts";
import { EVENT_STREAM } from "../../../lib/response-headers.ts";
import type { WorkerAnswer } from "../dispatch.ts";
import type { Exchange } from "../exchange.ts";
import { outward } from "../failure.ts";
import { carry } from "./carry.ts";
import type { RespondContext } from "./pump.ts";
import { type Controller, finish, Pump, put } from "./pump.ts";
import { type QueueNotice, QueueStatusStream } from "./queue-status.ts";
import { routingComment, routingHeaders } from "./served-headers.ts";
import { backendErrorEvent, errorEvent } from "./stream-error.ts";
import { tapFor } from "./tap.ts";

/**
 * An event stream that opens before the worker has answered, because the client waits in the queue or the worker is silent
 * for long. What cannot pass on it as it is comes as the events that its API would have sent; errors come as `error`
 * events.
 */
export function respondEarly(
  pending: Promise<WorkerAnswer>,
  exchange: Exchange,
  context: RespondContext,
  notice: () => QueueNotice,
): Response {
  exchange.streams();
  const status = new QueueStatusStream(exchange, context, notice);
  let pump: Pump | undefined;
  /** Where the answer comes from, once there is one; undefined when the stream has ended with an error. */
  const begin = async (controller: Controller): Promise<Pump | undefined> => {
    try {
      const carried = await carry(await pending, context.stream, () => exchange.touch());
      status.end();
      if ("failure" in carried) {
        const { failure } = carried;
        finish(controller, exchange, failure, backendErrorEvent(carried, context));
        return undefined;
      }
      const tap = tapFor(carried.head.status, contentOf(carried.head.headers), exchange);
      exchange.tap = tap;
      const comment = routingComment(exchange, context.expose);
      if (comment.length > 0) put(controller, comment, exchange);
      return new Pump(carried.source, exchange, context, tap, "events");
    } catch (thrown) {
      status.end();
      const error = toNfrxError(thrown);
      finish(controller, exchange, error, errorEvent(outward(error), context));
      return undefined;
    }
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start: controller => status.begin(controller),
      async pull(controller) {
        pump ??= await begin(controller);
        await pump?.pull(controller);
      },
      cancel() {
        status.end();
        pump?.stop();
        exchange.cancel();
      },
    },
    { highWaterMark: 0 },
  );
  const { id, access } = exchange.request;
  access.status = 200;
  const known = context.expose ? Object.fromEntries(routingHeaders(exchange)) : {};
  return new Response(body, { headers: { ...EVENT_STREAM, ...known, "x-request-id": id } });
}
