// Around every handler: its request is told of when it has been answered, unless the handler does that itself.
import { toNfrxError } from "../../lib/errors.ts";
import type { Route } from "../../modules/route.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";
import type { AccessRecord } from "./access-log.ts";
import { countRefusal } from "./count-refusal.ts";
import { errorResponse } from "./error-response.ts";

/** How what is thrown is counted, and how it looks to the caller. */
export interface Failing {
  readonly metrics: Pick<BrokerMetrics, "refused" | "unhandled">;
  readonly errors: Route["errors"];
}

/**
 * Runs a handler; what it throws becomes an answer, too. Without an answer the connection is a WebSocket from then on.
 */
export function withAccessLog<A extends Response | undefined>(
  access: AccessRecord,
  run: () => A | Promise<A>,
  failing: Failing,
): A | Response | Promise<A | Response> {
  try {
    const answer = run();
    // Of what passes to a worker and back the handler tells; it costs nothing here.
    if (access.deferred) return answer;
    if (answer === undefined) return upgraded(access, answer);
    return answer instanceof Promise
      ? answer.then(
          response => finished(access, response),
          (thrown: unknown) => failed(access, thrown, failing),
        )
      : finished(access, answer);
  } catch (thrown) {
    return failed(access, thrown, failing);
  }
}

/** Counts and tells of an answer that failed. */
export function failed(access: AccessRecord, thrown: unknown, { metrics, errors }: Failing): Response {
  const error = toNfrxError(thrown);
  countRefusal(metrics, error);
  const response = errorResponse(error, errors === "text" ? "openai" : errors, access.id);
  access.answered(response);
  access.end(error);
  return response;
}

function upgraded<A>(access: AccessRecord, nothing: A): A {
  access.status = 101;
  access.end();
  return nothing;
}

async function finished<A extends Response | undefined>(access: AccessRecord, response: A): Promise<A | Response> {
  if (response === undefined) return upgraded(access, response);
  if (access.deferred) return response;
  const sent = await counted(response);
  if (!sent.headers.has("x-request-id")) sent.headers.set("x-request-id", access.id);
  access.answered(sent);
  access.own = true;
  access.end();
  return sent;
}

/** The same answer with its length in its head. Nothing that is larger than memory comes here. */
async function counted(response: Response): Promise<Response> {
  if (response.headers.has("content-length")) return response;
  const { status, headers } = response;
  const body = await response.blob();
  if (body.size === 0) return new Response(null, { status, headers });
  headers.set("content-length", String(body.size));
  // A text without a type has one that the headers do not show.
  if (!headers.has("content-type") && body.type !== "") headers.set("content-type", body.type);
  return new Response(body, { status, headers });
}
