// Enforces the broker's response limit at the agent, where the request can still get an error.
import { bytesUpTo } from "../../lib/bytes.ts";
import { hasContentType } from "../../lib/http.ts";
import { errorText, SERVER_ERROR } from "./channels/message.ts";
import { EventLimit } from "./event-limit.ts";

export interface LimitedRequest {
  method: string;
  /** ID of the only request, as JSON; undefined if it is unknown or there are several. */
  id: string | undefined;
}

/**
 * A response without messages larger than `limit` bytes: larger ones are replaced by a JSON-RPC error with the same ID.
 * Responses that are neither JSON nor events, or are compressed, stay unchanged.
 */
export async function limited(response: Response, limit: number, request: LimitedRequest): Promise<Response> {
  const { body, headers, status } = response;
  if (body === null || (headers.get("content-encoding") ?? "identity") !== "identity") return response;
  const pairs = [...headers];
  if (hasContentType(pairs, "text/event-stream")) {
    const events = new EventLimit(limit, ({ id = request.id, hasMethod }) =>
      hasMethod || id === undefined ? undefined : tooLarge(id, limit),
    );
    return new Response(passing(body, events), { status, headers });
  }
  if (request.method !== "POST" || !hasContentType(pairs, "application/json")) return response;
  const announced = headers.get("content-length");
  if (announced !== null && Number(announced) <= limit) return response;
  const bytes = announced === null ? await bytesUpTo(limit, body) : undefined;
  if (bytes !== undefined) return new Response(bytes, { status, headers });
  if (announced !== null) await body.cancel();
  const own = new Headers(headers);
  own.delete("content-length");
  return new Response(tooLarge(request.id, limit), { status: 200, headers: own });
}

function tooLarge(id: string | undefined, limit: number): string {
  const message = `The result is larger than ${limit} bytes, the broker's BROKER_MAX_RESP_BYTES`;
  return errorText(id, SERVER_ERROR, message, { mcp: "MCP_LIMIT_EXCEEDED" });
}

function passing(body: ReadableStream<Uint8Array>, events: EventLimit): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        for (;;) {
          const { done, value } = await reader.read();
          let passed = false;
          for (const part of done ? events.end() : events.feed(value)) {
            if (part.length > 0) controller.enqueue(part);
            passed = true;
          }
          if (done) return controller.close();
          if (passed) return;
        }
      },
      cancel: reason => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
