// From a stream to the private backend and back.
import { discard } from "../lib/bytes.ts";
import { codeOf, messageOf, NfrxError } from "../lib/errors.ts";
import { HOP_BY_HOP, headerOf } from "../lib/http.ts";
import type { IdleLimit, IdleWatch } from "../lib/idle-limit.ts";
import type { Clock } from "../lib/time.ts";
import { failureOf, type Span, SpanAttributes } from "../lib/trace.ts";
import type { HeaderList, RequestHead } from "../protocol/frames.ts";
import type { Stream } from "../protocol/stream.ts";
import type { BackendAccess } from "./backend-access.ts";

/** Maximum response that is read completely, so that head, body and end are sent in one message, in bytes. */
const SMALL_ANSWER_BYTES = 64 * 1024;
/**
 * Time in milliseconds within which a failure means that the backend had closed the keep-alive connection. A later
 * failure may affect a request that was read.
 */
const STALE_CONNECTION_MS = 20;

export interface ForwardContext {
  backend: BackendAccess;
  clock: Clock;
  /** The limit on silence from and to the backend. */
  idle: IdleLimit;
  /** Trace attributes of the backend. */
  traced: SpanAttributes;
}

/** State of one stream. */
export interface Forwarding {
  /** The version of the wire that the request came by. */
  wire: 1 | 2;
  /** Parent span of the request. */
  span: Span | undefined;
  /** Called on every sign of life of the backend. */
  onAnswer?: (() => void) | undefined;
}

/** Serves one stream by asking the backend. */
export function forward(stream: Stream, head: RequestHead, context: ForwardContext, about: Forwarding): Promise<void> {
  const { wire, span, onAnswer } = about;
  const call = callBelow(span, head.method, context.traced);
  const respond = (signal: AbortSignal, idle: IdleWatch): Promise<Response> =>
    ask(stream, head, context, { wire, signal, idle, span: call });
  // The chunks of `fetch` are not shared.
  return serveStream(stream, { idle: context.idle, owned: true, onAnswer }, respond, call);
}

/** The span for a request to a service, with its attributes. `exchange` ends it. */
export function callBelow(span: Span | undefined, method: string, service?: SpanAttributes): Span | undefined {
  if (!span?.recorded) return span;
  const call = span.child(method, "client");
  if (service !== undefined) call.set(service);
  return call;
}

export interface ServeContext {
  /** The limit on silence from and to what responds. */
  idle: IdleLimit;
  /** Hears of every sign of its life. */
  onAnswer?: (() => void) | undefined;
  /** The response's chunks are not shared, so their memory can be freed after sending. */
  owned?: boolean;
}

/**
 * Serves one stream with the response of `respond`. Resolves when the exchange ends; rejects with the reason if it
 * failed, after notifying the peer. A reset from the peer aborts the signal immediately. `call` is the span of the
 * request.
 */
export async function serveStream(
  stream: Stream,
  { idle: limit, owned = false, onAnswer }: ServeContext,
  respond: (signal: AbortSignal, idle: IdleWatch) => Promise<Response>,
  call?: Span,
): Promise<void> {
  const abort = new AbortController();
  const idle = limit.watch(() =>
    abort.abort(new NfrxError("timeout", `no data from the backend for ${limit.ms / 1000} seconds`)),
  );
  stream.onClose(() => {
    if (stream.failure !== undefined) abort.abort(stream.failure);
  });
  try {
    // The head and a small body come in one message, one frame after the other: let the second arrive.
    await Promise.resolve();
    const response = await respond(abort.signal, idle);
    const alive = (): void => {
      idle.touch();
      onAnswer?.();
    };
    alive();
    call?.set({ "http.response.status_code": response.status });
    await answer(stream, response, { alive, idle, owned });
    stream.stopReading();
    call?.end();
  } catch (thrown) {
    const error = explain(thrown, abort.signal);
    stream.reset(error);
    call?.end(failureOf(error));
    throw error;
  } finally {
    idle.cancel();
  }
}

/** Trace attributes of the service at `url`. */
export function addressOf(url: string): SpanAttributes {
  const { hostname, port, protocol } = new URL(url);
  return new SpanAttributes({
    "server.address": hostname,
    "server.port": Number(port) || (protocol === "https:" ? 443 : 80),
  });
}

interface Asking {
  wire: 1 | 2;
  signal: AbortSignal;
  idle: IdleWatch;
  span: Span | undefined;
}

function ask(
  stream: Stream,
  head: RequestHead,
  { backend, clock }: ForwardContext,
  { wire, signal, idle, span }: Asking,
): Promise<Response> {
  const headers = backend.headersOf(span === undefined ? head.headers : span.inject(head.headers), wire);
  const init: BunFetchRequestInit = {
    method: head.method,
    headers,
    signal,
    redirect: "manual",
    decompress: false,
    timeout: false,
  };
  if (backend.tls !== undefined) init.tls = backend.tls;
  const url = backend.urlOf(head.path);
  if (!stream.arrived) {
    // If the length is known, it is sent to the backend: not every server supports chunked bodies.
    const length = headerOf(head.headers, "content-length");
    if (length !== undefined && /^\d+$/.test(length)) headers.set("content-length", length);
    init.body = upload(stream, idle);
    init.keepalive = false;
    return fetch(url, init);
  }
  init.body = (stream.take() as Uint8Array<ArrayBuffer> | undefined) ?? null;
  const began = clock.now();
  return fetch(url, init).catch((error: unknown) => {
    // The backend had closed a pooled connection just when it was used again: nothing can have worked on the request.
    const stale = clock.now() - began > STALE_CONNECTION_MS;
    if (signal.aborted || stale || !isClosedConnection(error)) throw error;
    init.keepalive = false;
    return fetch(url, init).catch((again: unknown) => {
      // The backend may have failed because of the request: do not retry elsewhere.
      throw isUnreachable(again) ? error : again;
    });
  });
}

/**
 * Bytes of an upload after which garbage collection is forced; the runtime alone would leave some 60 MiB uncollected.
 */
const COLLECT_BYTES = 16 * 1024 * 1024;

function upload(stream: Stream, idle: IdleWatch): ReadableStream<Uint8Array> {
  let uncollected = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const bytes = await stream.read();
        idle.touch();
        if (bytes === null) controller.close();
        else controller.enqueue(bytes);
        uncollected += bytes?.length ?? 0;
        if (uncollected < COLLECT_BYTES) return;
        uncollected = 0;
        Bun.gc(true);
      },
    },
    { highWaterMark: 0 },
  );
}

async function answer(
  stream: Stream,
  response: Response,
  { alive, idle, owned }: { alive: () => void; idle: IdleWatch; owned: boolean },
): Promise<void> {
  const head = { status: response.status, headers: answerHeaders(response.headers) };
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  // Checked before `body`, which creates a stream from data that `bytes` has immediately.
  if (length <= SMALL_ANSWER_BYTES) {
    const bytes = await response.bytes();
    stream.sendHead(head);
    return stream.end(bytes);
  }
  if (response.body === null) return stream.sendHead(head, true);
  const reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>; cancel(): Promise<void> } =
    response.body.getReader();
  const events = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
  // Of events the client sees the head at once; anything else waits for its first bytes and shares a message with them.
  if (events) stream.sendHead(head);
  let begun = events;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      alive();
      if (!begun) stream.sendHead(head);
      begun = true;
      if (done || value === undefined) break;
      await stream.write(value);
      if (owned) discard(value);
      idle.touch();
    }
  } catch (error) {
    reader.cancel().catch(() => {});
    throw error;
  }
  stream.end();
}

function answerHeaders(headers: Headers): HeaderList {
  const list: HeaderList = [];
  // Each cookie comes as a pair of its own, all else joined.
  for (const pair of headers) if (!HOP_BY_HOP.has(pair[0])) list.push(pair);
  return list;
}

/** The error for the peer: why we stopped, or what the backend did. */
function explain(thrown: unknown, signal: AbortSignal): NfrxError {
  if (signal.reason instanceof NfrxError) return signal.reason;
  if (thrown instanceof NfrxError) return thrown;
  if (isUnreachable(thrown)) return new NfrxError("refused", "cannot reach the backend");
  // Bun adds advice for developers; the message goes to clients.
  const message = messageOf(thrown).replace(/ For more information, pass .*$/, "");
  return new NfrxError("upstream_error", `the backend failed: ${message}`, { cause: thrown });
}

/** True when no connection could be made, so that nothing was sent. */
export function isUnreachable(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ConnectionRefused" || code === "ECONNREFUSED" || code === "FailedToOpenSocket";
}

/** True if an error of `exchange` indicates that the backend may be down. */
export function mayBeDown(error: unknown): boolean {
  if (!(error instanceof NfrxError)) return false;
  return error.code === "refused" || (error.code === "upstream_error" && isClosedConnection(error.detail.cause));
}

function isClosedConnection(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ECONNRESET" || code === "ConnectionClosed" || code === "EPIPE";
}
