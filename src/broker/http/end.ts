// How a request ends whose response does not go on after its handler: its length and its request id are set, and it is logged.
import { type NfrxError, toNfrxError } from "../../lib/errors.ts";
import type { Access, Route } from "../../modules/route.ts";
import type { AccessRecord } from "./access-log.ts";
import { countRefusal, type RefusalMetrics } from "./count-refusal.ts";
import { errorResponse } from "./error-response.ts";

/** How an error is counted, and how it looks to the caller. */
export interface Failing {
  readonly metrics: RefusalMetrics;
  readonly errors: Route["errors"];
  readonly errorBody?: Route["errorBody"];
  readonly countRefusal?: Route["countRefusal"];
}

/** The response for what a request failed with. It is counted, and noted in the log; ending the request is the caller's. */
export function failure(access: Access, thrown: unknown, failing: Failing): { response: Response; error: NfrxError } {
  const error = toNfrxError(thrown);
  if (failing.countRefusal === undefined) countRefusal(failing.metrics, error);
  else failing.countRefusal(error);
  const response = errorResponse(error, failing.errors, access.id, failing.errorBody?.(error));
  access.answered(response);
  return { response, error };
}

/** The response of a handler. Without a response the connection is a WebSocket from now on. */
export function finished(
  record: AccessRecord,
  response: Response | undefined,
): Response | undefined | Promise<Response> {
  if (record.streaming) return response;
  if (response !== undefined) return sent(record, response);
  record.status = 101;
  record.end();
  return undefined;
}

/** A response of the broker's own, as it is sent. */
export async function sent(record: AccessRecord, response: Response): Promise<Response> {
  const counted = await withLength(response);
  if (!counted.headers.has("x-request-id")) counted.headers.set("x-request-id", record.id);
  record.answered(counted);
  record.own = true;
  record.end();
  return counted;
}

/** The same response with its length in its head. Only responses that fit in memory come here. */
async function withLength(response: Response): Promise<Response> {
  if (response.headers.has("content-length")) return response;
  const { status, headers } = response;
  const body = await response.blob();
  if (body.size === 0) return new Response(null, { status, headers });
  headers.set("content-length", String(body.size));
  // A text without a type has one that the headers do not show.
  if (!headers.has("content-type") && body.type !== "") headers.set("content-type", body.type);
  return new Response(body, { status, headers });
}
