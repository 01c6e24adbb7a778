import { z } from "zod";
import { NfrxError } from "../lib/errors.ts";
import type { Head, HeaderList, RequestHead } from "./frames.ts";
import {
  REGISTER_BYTES,
  V1_BROKER_DEAD_MS,
  V1_CHUNK,
  V1_DEAD_MS,
  V1_PING_MS,
  V1_REQUEST_BODY,
  V1_STREAM_BUFFER,
} from "./limits.ts";
import type { Link } from "./link.ts";
import type { Stream } from "./stream.ts";
import { parseControl, sound, type Wire } from "./wire.ts";

const headerMap = z.record(z.string(), z.string()).nullish();
const endError = z.object({ code: z.string().default("upstream_error"), message: z.string().default("") }).nullish();
const requestFrame = z.object({
  request_id: z.string().min(1),
  method: z.string().min(1),
  path: z.string().startsWith("/"),
  headers: headerMap,
  body: z.base64().nullish(),
});
const headersFrame = z.object({ request_id: z.string(), status: z.number(), headers: headerMap });
const chunkFrame = z.object({ request_id: z.string(), data: z.string().nullish() });
const endFrame = z.object({ request_id: z.string(), error: endError });
const cancelFrame = z.object({ request_id: z.string() });

/** The error of 0.9 for an agent that is draining and has not processed the request. */
const DRAINING = "worker_draining";
/** In Go's words: the connection to the backend was never made, so nothing was done. */
const UNREACHED = /\bdial (?:tcp|unix)\b|connection refused/;

/** State of one exchange in addition to its stream. */
interface V1Exchange {
  requestId: string;
  /** A request's head and body, which go out as one. */
  head?: Head;
  body: Uint8Array[];
  bytes: number;
  /** The response head was sent. */
  headSent: boolean;
  /** A 502 or 503 of the peer, held back until its end shows whether the backend or the agent sent it. */
  held?: { head: Head; chunks: Buffer[]; bytes: number };
}

/**
 * Wire v1 of the 0.9 series as a codec behind the same streams: JSON text, base64 bodies, no credit. Both ends: `broker`
 * speaks to a v1 agent, `agent` to a v1 broker.
 */
export class WireV1 implements Wire {
  readonly version = 1;
  readonly deadMs: number;
  /** An agent gets the complete request body in the frame that opens the stream; only responses are buffered. */
  readonly bufferLimit: number;
  readonly initialCredit = Number.POSITIVE_INFINITY;

  readonly #exchanges = new Map<Stream, V1Exchange>();
  readonly #byRequest = new Map<string, Stream>();
  #peerStreams = 1;
  #pingAt: number;

  constructor(private readonly link: Link) {
    // A v1 broker sends nothing of its own: an agent learns from pongs that it lives, and gives those the longer time.
    this.deadMs = link.side === "broker" ? V1_DEAD_MS : V1_BROKER_DEAD_MS;
    this.bufferLimit = link.side === "broker" ? V1_STREAM_BUFFER : Number.POSITIVE_INFINITY;
    this.#pingAt = link.clock.now();
  }

  turn(stream: Stream): boolean {
    if (this.link.side === "broker") this.#turnRequest(stream);
    else this.#turnResponse(stream);
    return true;
  }

  flush(): void {}
  consumed(): void {}
  goaway(): void {}

  reset(stream: Stream, error: NfrxError): void {
    const exchange = this.#exchanges.get(stream);
    if (exchange === undefined) return;
    const request_id = exchange.requestId;
    if (this.link.side === "broker") {
      if (stream.out.sent) this.#send({ type: "http_proxy_cancel", request_id });
      return;
    }
    const refused = error.code === "refused" || error.code === "draining";
    if (!exchange.headSent)
      this.#send({ type: "http_proxy_response_headers", request_id, status: refused ? 503 : 502, headers: {} });
    const code = refused ? DRAINING : error.code;
    this.#send({ type: "http_proxy_response_end", request_id, error: { code, message: error.message } });
  }

  forget(stream: Stream): void {
    const exchange = this.#exchanges.get(stream);
    if (exchange === undefined) return;
    this.#exchanges.delete(stream);
    this.#byRequest.delete(exchange.requestId);
  }

  beat(now: number): void {
    if (this.link.side === "broker" || now - this.#pingAt < V1_PING_MS) return;
    this.#pingAt = now;
    this.link.ping();
  }

  receive(message: Uint8Array | string): void {
    const text = typeof message === "string" ? message : Buffer.from(message).toString("utf8");
    // Only frames of an exchange can be long; both series send the kind first.
    const frame = parseControl(text, EXCHANGE.test(text.slice(0, KIND_WITHIN)) ? undefined : REGISTER_BYTES);
    switch (frame.type) {
      case "http_proxy_request":
        return this.#onRequest(requestFrame.safeParse(frame));
      case "http_proxy_cancel":
        return this.#onCancel(cancelFrame.safeParse(frame));
      case "http_proxy_response_headers":
        return this.#onHeaders(headersFrame.safeParse(frame));
      case "http_proxy_response_chunk":
        return this.#onChunk(chunkFrame.safeParse(frame));
      case "http_proxy_response_end":
        return this.#onEnd(endFrame.safeParse(frame));
      default:
        return this.link.dispatchControl(frame, text.length);
    }
  }

  // ---- the broker's half ------------------------------------------------------------------------------------------

  #turnRequest(stream: Stream): void {
    const { out } = stream;
    const exchange = this.#open(stream, `r${stream.id}`);
    // Kept here and not in the outbox: a head that cannot leave yet is nothing to send.
    if (out.head !== undefined) exchange.head = out.head;
    out.head = undefined;
    for (let bytes = out.next(V1_REQUEST_BODY); bytes.length > 0; bytes = out.next(V1_REQUEST_BODY)) {
      // Data that is kept beyond this turn is a copy, because the writer reuses its buffer.
      exchange.body.push(out.ended ? bytes : Buffer.from(bytes));
      exchange.bytes += bytes.length;
    }
    if (exchange.bytes > V1_REQUEST_BODY) {
      stream.reset(
        new NfrxError("too_large", `the request body exceeds the limit of wire v1 workers, ${V1_REQUEST_BODY} bytes`),
      );
      return;
    }
    const { head } = exchange;
    if (!out.ended || head === undefined || !("method" in head)) return;
    this.#send({
      type: "http_proxy_request",
      request_id: exchange.requestId,
      method: head.method,
      path: head.path,
      headers: joinHeaders(head.headers),
      stream: head.headers.some(
        ([name, value]) => name.toLowerCase() === "accept" && value.includes("text/event-stream"),
      ),
      ...(exchange.bytes > 0 && { body: Buffer.concat(exchange.body, exchange.bytes).toString("base64") }),
    });
    exchange.body = [];
    out.sent = true;
  }

  #onHeaders(frame: z.ZodSafeParseResult<z.infer<typeof headersFrame>>): void {
    const { request_id, status, headers } = sound(frame);
    const stream = this.#byRequest.get(request_id);
    const exchange = stream && this.#exchanges.get(stream);
    if (stream === undefined || exchange === undefined || stream.headArrived || exchange.held !== undefined) return;
    if (!Number.isInteger(status) || status < 200 || status > 599) {
      stream.reset(new NfrxError("upstream_error", `the worker sent the invalid status ${status}`));
      return;
    }
    const head = { status, headers: Object.entries(headers ?? {}) };
    if (status === 502 || status === 503) exchange.held = { head, chunks: [], bytes: 0 };
    else stream.deliverHead(head, false);
  }

  #onChunk(frame: z.ZodSafeParseResult<z.infer<typeof chunkFrame>>): void {
    const { request_id, data } = sound(frame);
    const stream = this.#byRequest.get(request_id);
    if (stream === undefined) return;
    const bytes = Buffer.from(data ?? "", "base64");
    const exchange = this.#exchanges.get(stream);
    if (exchange?.held !== undefined) {
      exchange.held.chunks.push(bytes);
      exchange.held.bytes += bytes.length;
      if (exchange.held.bytes > V1_CHUNK) this.#release(stream, exchange);
    } else if (stream.headArrived && !stream.arrived) {
      stream.deliverData(bytes, false);
    } else {
      stream.reset(new NfrxError("upstream_error", "the worker sent a response body before the response head"));
    }
  }

  #onEnd(frame: z.ZodSafeParseResult<z.infer<typeof endFrame>>): void {
    const { request_id, error } = sound(frame);
    const stream = this.#byRequest.get(request_id);
    const exchange = stream && this.#exchanges.get(stream);
    if (stream === undefined || exchange === undefined) return;
    if (error) {
      const unreached = exchange.held !== undefined && error.code === "upstream_error" && UNREACHED.test(error.message);
      const refused = error.code === DRAINING || unreached;
      this.link.peerReset(stream, refused ? "refused" : error.code, error.message);
      return;
    }
    this.#release(stream, exchange);
    if (stream.headArrived) stream.deliverData(NOTHING, true);
    else stream.reset(new NfrxError("upstream_error", "the worker ended the response before the response head"));
  }

  #release(stream: Stream, exchange: V1Exchange): void {
    const held = exchange.held;
    if (held === undefined) return;
    delete exchange.held;
    stream.deliverHead(held.head, false);
    for (const chunk of held.chunks) stream.deliverData(chunk, false);
  }

  // ---- the agent's half -------------------------------------------------------------------------------------------

  #onRequest(frame: z.ZodSafeParseResult<z.infer<typeof requestFrame>>): void {
    const { request_id, method, path, headers, body } = sound(frame);
    if (this.#byRequest.has(request_id)) return;
    const head: RequestHead = { method, path, headers: Object.entries(headers ?? {}) };
    const id = this.#peerStreams;
    this.#peerStreams += 2;
    const bytes = body ? Buffer.from(body, "base64") : NOTHING;
    this.link.accept(id, head, bytes.length === 0, stream => {
      this.#open(stream, request_id);
    });
    if (bytes.length > 0) this.link.stream(id)?.deliverData(bytes, true);
  }

  #onCancel(frame: z.ZodSafeParseResult<z.infer<typeof cancelFrame>>): void {
    const stream = this.#byRequest.get(sound(frame).request_id);
    if (stream !== undefined) this.link.peerReset(stream, "canceled", "canceled by the broker");
  }

  #turnResponse(stream: Stream): void {
    const exchange = this.#exchanges.get(stream);
    if (exchange === undefined) return;
    const { out } = stream;
    const request_id = exchange.requestId;
    if (out.head !== undefined && "status" in out.head) {
      const { status, headers } = out.head;
      this.#send({ type: "http_proxy_response_headers", request_id, status, headers: joinHeaders(headers) });
      exchange.headSent = true;
      out.head = undefined;
    }
    const bytes = out.next(V1_CHUNK);
    if (bytes.length > 0) {
      this.#send({ type: "http_proxy_response_chunk", request_id, data: Buffer.from(bytes).toString("base64") });
    }
    if (out.ended && out.bytes === 0) {
      this.#send({ type: "http_proxy_response_end", request_id });
      out.sent = true;
    }
  }

  // ---- both -------------------------------------------------------------------------------------------------------

  #open(stream: Stream, requestId: string): V1Exchange {
    let exchange = this.#exchanges.get(stream);
    if (exchange === undefined) {
      exchange = { requestId, body: [], bytes: 0, headSent: false };
      this.#exchanges.set(stream, exchange);
      this.#byRequest.set(requestId, stream);
    }
    return exchange;
  }

  #send(frame: { type: string; request_id: string; [field: string]: unknown }): void {
    this.link.transmit(JSON.stringify(frame));
  }
}

const NOTHING = new Uint8Array(0);
/** How a frame of an exchange begins. */
const EXCHANGE = /^\s*\{\s*"type"\s*:\s*"http_proxy_/;
/** Characters within which a v1 frame must name its kind. */
const KIND_WITHIN = 128;

/** v1 knows one value a name: repeated ones are joined. */
function joinHeaders(headers: HeaderList): Record<string, string> {
  const map: Record<string, string> = {};
  for (const [name, value] of headers) map[name] = Object.hasOwn(map, name) ? `${map[name]}, ${value}` : value;
  return map;
}
