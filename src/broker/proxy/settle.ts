import { type NfrxError, toNfrxError } from "../../lib/errors.ts";
import type { Exchange } from "./exchange.ts";
import { backendFailure } from "./failure.ts";

/**
 * THE owner of an exchange's end: `respond` makes its response, `refuse` the one for what that throws. Settles once: with
 * the response, or when the body that `respond` has left open has ended.
 */
export async function withExchange(
  exchange: Exchange,
  respond: () => Promise<Response>,
  refuse: (thrown: unknown) => Response,
): Promise<Response> {
  const ended = exchange.request.access.streams();
  try {
    const response = await respond();
    const { bodyEnd } = exchange;
    if (bodyEnd === undefined) settle(exchange, exchange.failure, ended);
    else void bodyEnd.then(error => settle(exchange, error, ended));
    return response;
  } catch (thrown) {
    const response = refuse(thrown);
    exchange.request.access.answered(response);
    settle(exchange, thrown, ended);
    return response;
  }
}

/** Gives back what an exchange holds, then counts and logs what happened: `thrown`, or what the status says. */
function settle(exchange: Exchange, thrown: unknown, ended: (error?: NfrxError) => void): void {
  const { context, request, attempt, status, usage } = exchange;
  const { metrics, pool, clock } = context;
  const { access, body, series } = request;
  const error = thrown === undefined ? backendFailure(status) : toNfrxError(thrown);
  const now = clock.now();
  exchange.over = true;
  const worker = attempt?.slot.worker;
  attempt?.end(error);
  exchange.leaveQueue(error);
  if (body.whole) access.bytesIn = body.length ?? 0;
  body.release();
  const { startedAt, firstByteAt, slotAt, retries, items, whole } = exchange;
  const embeddings = items + (error === undefined && status < 300 ? whole : 0);
  const firstByteMs = firstByteAt === undefined ? undefined : firstByteAt - access.arrivedAt;
  pool.count({ failed: error !== undefined && error.code !== "canceled", usage, embeddings, firstByteMs }, now);
  worker?.recordUsage(now, now - slotAt, error, usage, embeddings);
  metrics.end({
    series,
    workerId: worker?.id,
    errorCode: error?.code ?? "",
    phase: startedAt === undefined ? "queued" : firstByteAt === undefined ? "unanswered" : "answering",
    seconds: (now - access.arrivedAt) / 1000,
    firstByteSeconds: firstByteMs === undefined ? undefined : firstByteMs / 1000,
    queueSeconds:
      exchange.slotRequest.ticket === undefined ? undefined : ((startedAt ?? now) - access.arrivedAt) / 1000,
    retries,
    usage,
    embeddings,
  });
  access.workerId = worker?.id ?? access.workerId;
  access.usage = usage;
  access.retries = retries;
  if (error?.code === "internal") metrics.unhandled();
  ended(error);
  request.onClose?.();
}
