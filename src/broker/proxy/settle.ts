import { type NfrxError, toNfrxError } from "../../lib/errors.ts";
import type { Reservation } from "../../modules/route.ts";
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
  access.items = embeddings;
  if (request.reservation !== undefined) settleLimits(exchange, request.reservation);
  access.retries = retries;
  if (error?.code === "internal") metrics.unhandled();
  ended(error);
  request.onClose?.();
}

/** Characters of a token, by the usual rule of thumb for English text. */
const TOKEN_BYTES = 4;

/** Counts what a request has cost its key. A response with an error status costs no tokens. */
function settleLimits(exchange: Exchange, reservation: Reservation): void {
  const { access } = exchange.request;
  if (exchange.status >= 400) access.usage = undefined;
  else if (access.usage === undefined && exchange.tap !== undefined && exchange.chunks > 0) {
    // A stream brings a token in a chunk, as a rule; of a whole response the bytes say more.
    const out = exchange.chunks > 1 ? exchange.chunks : Math.ceil(access.bytesOut / TOKEN_BYTES);
    const read = Math.ceil(access.bytesIn / TOKEN_BYTES);
    access.usage = { in: read, out, total: read + out };
    access.estimated = true;
  }
  reservation.settle({ tokens: (access.usage?.in ?? 0) + (access.usage?.out ?? 0), slotMs: access.slotMs });
}
