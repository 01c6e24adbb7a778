// Response headers about the processing: the model, if it differs from the requested name; with EXPOSE_ROUTING the
// worker and the timings.
import type { HeaderPairs } from "../../../lib/http.ts";
import type { Exchange } from "../exchange.ts";

/** The worker's name for the model, where that is not the one that was asked for. */
export function modelHeaders({ request }: Exchange): HeaderPairs {
  const { servedModel } = request.access;
  return servedModel === undefined ? [] : [["x-nfrx-model", encodeURI(servedModel.toWellFormed())]];
}

/** The worker, the wait for it, and the time to its first byte, both in milliseconds. */
export function routingHeaders(exchange: Exchange): HeaderPairs {
  const { queueMs, firstByteMs, arrivedAt } = exchange.request.access;
  const { worker, slotAt } = exchange;
  const timing: string[] = [];
  if (worker !== undefined || queueMs !== undefined) timing.push(`queue;dur=${(queueMs ?? 0).toFixed(1)}`);
  if (worker !== undefined && firstByteMs !== undefined)
    timing.push(`worker;dur=${(firstByteMs - (slotAt - arrivedAt)).toFixed(1)}`);
  const headers: HeaderPairs = [];
  if (timing.length > 0) headers.push(["server-timing", timing.join(", ")]);
  if (worker !== undefined) headers.push(["x-nfrx-worker", headerWord(worker.name)]);
  return headers;
}

/** The same as a comment, for an event stream whose headers had to leave before it was known; empty when there is nothing. */
export function routingComment(exchange: Exchange, expose: boolean): Uint8Array {
  const headers = [...modelHeaders(exchange), ...(expose ? routingHeaders(exchange) : [])];
  if (headers.length === 0) return Buffer.alloc(0);
  const lines = headers.map(([name, value]) => `: ${name} ${value}\n`);
  return Buffer.from(`${lines.join("")}\n`);
}

/** A worker's name in a header, where it may hold anything: as in a URL. */
function headerWord(name: string): string {
  return encodeURIComponent(name.toWellFormed());
}
