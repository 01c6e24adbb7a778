// From a worker's stream to a client's response.
import { asText } from "../../lib/bytes.ts";
import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import { hasContentType, headerOf, responseHeaders } from "../../lib/http.ts";
import { TopLevelScan } from "../../lib/json-scan.ts";
import { type Clock, pause, type Timer } from "../../lib/time.ts";
import type { Usage, WorkerModule } from "../../modules/module.ts";
import type { ResponseHead } from "../../protocol/frames.ts";
import type { Stream } from "../../protocol/stream.ts";
import { errorEvent } from "./errors.ts";
import { type Exchange, outward } from "./exchange.ts";
import { UsageTap } from "./usage.ts";

/** Milliseconds between the comments that keep a quiet event stream open through proxies. */
export const KEEP_ALIVE_MS = 15_000;
/** Milliseconds that the last bytes of an answer that is cut have to leave. */
const LAST_BYTES_MS = 50;
/** Bytes of a backend's error that are passed on inside an error event. */
const ERROR_BYTES = 64 * 1024;

const KEEP_ALIVE = Buffer.from(": keep-alive\n\n");
const EVENT_HEADERS = { "content-type": "text/event-stream", "cache-control": "no-cache", "x-accel-buffering": "no" };

export interface RespondContext {
  clock: Clock;
  errors: WorkerModule["errors"];
  /** Milliseconds between position events; 0 for none. */
  queueUpdateMs: number;
}

type Answer = { head: ResponseHead; stream: Stream };
type Controller = ReadableStreamDefaultController<Uint8Array>;

/** The worker's answer as it is: status, headers and bytes. */
export function passThrough(answer: Answer, exchange: Exchange, context: RespondContext): Response {
  const { head, stream } = answer;
  const headers = responseHeaders(head.headers, exchange.request.id);
  const tap = tapFor(head, exchange);
  if (stream.arrived) {
    const bytes = stream.take();
    if (bytes !== undefined) tap?.feed(bytes, true);
    exchange.usage = tap?.usage;
    exchange.close();
    return new Response(bytes ?? null, { status: head.status, headers });
  }
  const events = hasContentType(head.headers, "text/event-stream");
  const pump = new Pump(stream, exchange, context, tap, events);
  return new Response(pump.body(), { status: head.status, headers });
}

/**
 * An event stream that is opened before the worker has answered, because the client waits in the queue or the worker
 * thinks for long. What goes wrong from here on is told by an `error` event.
 */
export function committed(pending: Promise<Answer>, exchange: Exchange, context: RespondContext): Response {
  const opening = new Opening(exchange, context);
  let pump: Pump | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start: controller => opening.begin(controller),
      async pull(controller) {
        try {
          if (pump === undefined) {
            const answer = await pending.finally(() => opening.end());
            await requireEvents(answer);
            pump = new Pump(answer.stream, exchange, context, tapFor(answer.head, exchange), true);
          }
        } catch (error) {
          finishWithError(controller, error, exchange, context);
          return;
        }
        await pump.pull(controller);
      },
      cancel() {
        opening.end();
        exchange.cancel();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { ...EVENT_HEADERS, "x-request-id": exchange.request.id } });
}

/** What a waiting client sees: its place in the queue, and comments. */
class Opening {
  #timer: Timer | undefined;
  #ended = false;

  constructor(
    private readonly exchange: Exchange,
    private readonly context: RespondContext,
  ) {}

  begin(controller: Controller): void {
    this.#tell(controller);
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #tell(controller: Controller): void {
    if (this.#ended) return;
    const { queueUpdateMs, clock } = this.context;
    const position = queueUpdateMs > 0 ? this.exchange.queuePosition : 0;
    // A client that does not read gets no more of this; nothing is lost.
    if ((controller.desiredSize ?? 0) > -MOST_UNREAD)
      controller.enqueue(position > 0 ? this.#queueEvent(position) : KEEP_ALIVE);
    const next = position > 0 ? Math.min(queueUpdateMs, KEEP_ALIVE_MS) : KEEP_ALIVE_MS;
    this.#timer = clock.after(next, () => this.#tell(controller));
  }

  #queueEvent(position: number): Uint8Array {
    const { id, label } = this.exchange.request;
    const data = { type: "nfrx.queue", request_id: id, model: label.model, position, choices: [] };
    return Buffer.from(`event: nfrx.queue\ndata: ${JSON.stringify(data)}\n\n`);
  }
}

/** Position events and comments that may wait for a client that does not read. */
const MOST_UNREAD = 16;

/** Moves a worker's body to a client, chunk by chunk as the client takes them. */
class Pump {
  #begun = false;
  #atEventEnd = true;
  #keepAlive: Timer | undefined;

  constructor(
    private readonly stream: Stream,
    private readonly exchange: Exchange,
    private readonly context: RespondContext,
    private readonly tap: Tap | undefined,
    private readonly events: boolean,
  ) {}

  body(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        pull: controller => this.pull(controller),
        cancel: () => this.exchange.cancel(),
      },
      { highWaterMark: 0 },
    );
  }

  async pull(controller: Controller): Promise<void> {
    if (!this.#begun && this.events) this.#startKeepAlive(controller);
    try {
      const bytes = await this.stream.read();
      this.#begin();
      if (bytes === null) {
        this.exchange.usage = this.tap?.usage;
        this.exchange.close();
        controller.close();
        return;
      }
      this.exchange.touch();
      this.tap?.feed(bytes);
      if (this.events) this.#atEventEnd = endsEvent(bytes);
      controller.enqueue(bytes);
    } catch (error) {
      this.#begin();
      this.exchange.usage = this.tap?.usage;
      if (this.events) {
        if (!this.#atEventEnd) controller.enqueue(EVENT_BREAK);
        finishWithError(controller, error, this.exchange, this.context);
      } else {
        this.exchange.close(error);
        // Bun forgets what it has not written yet when a body fails.
        await pause(this.context.clock, LAST_BYTES_MS);
        // Resets the client's connection; Bun prints a trace for any reason but undefined.
        controller.error(undefined);
      }
    }
  }

  #begin(): void {
    this.#begun = true;
    this.#keepAlive?.cancel();
  }

  /** Comments between the head and the first event; afterwards the bytes are the worker's alone. */
  #startKeepAlive(controller: Controller): void {
    const arm = (): void => {
      this.#keepAlive = this.context.clock.after(KEEP_ALIVE_MS, () => {
        if (this.#begun) return;
        controller.enqueue(KEEP_ALIVE);
        arm();
      });
    };
    arm();
  }
}

const EVENT_BREAK = Buffer.from("\n\n");

const LF = 0x0a;
const CR = 0x0d;

/** True when the bytes end with the blank line that ends an event: LF LF, CR LF CR LF or CR CR. */
function endsEvent(bytes: Uint8Array): boolean {
  const last = bytes[bytes.length - 1];
  const before = bytes[bytes.length - 2];
  if (last === CR) return before === CR;
  if (last !== LF) return false;
  return before === LF || (before === CR && bytes[bytes.length - 3] === LF && bytes[bytes.length - 4] === CR);
}

function finishWithError(controller: Controller, error: unknown, exchange: Exchange, context: RespondContext): void {
  exchange.close(error);
  // Only a client that is gone gets a clean end: a worker may say "canceled" too.
  if (exchange.request.signal.aborted) return controller.close();
  controller.enqueue(errorEvent(outward(toNfrxError(error)), context.errors));
  controller.close();
}

/** Rejects when the answer to a request for events is something else: the backend's own words as the message. */
async function requireEvents({ head, stream }: Answer): Promise<void> {
  if (head.status === 200 && hasContentType(head.headers, "text/event-stream")) return;
  let text = "";
  for (let bytes = await stream.read(); bytes !== null && text.length < ERROR_BYTES; bytes = await stream.read()) {
    text += asText(bytes);
  }
  const code = head.status === 400 || head.status === 422 ? "invalid_request" : "upstream_error";
  throw new NfrxError(code, backendMessage(text) ?? `the backend answered with status ${head.status}`);
}

/** The message of an OpenAI-shaped error body. */
function backendMessage(text: string): string | undefined {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null || !("error" in body)) return undefined;
    const { error } = body;
    if (typeof error === "string") return error;
    if (typeof error === "object" && error !== null && "message" in error && typeof error.message === "string")
      return error.message;
  } catch {
    // not JSON: the status has to do
  }
  return undefined;
}

/** Looks at an answer that passes by. */
interface Tap {
  /** Takes the next bytes, before the client has them; `last` says that none follow. */
  feed(bytes: Uint8Array, last?: boolean): void;
  readonly usage?: Usage | undefined;
}

/** Reads what an answer can tell: the task that has begun, or the tokens it took. */
function tapFor(head: ResponseHead, exchange: Exchange): Tap | undefined {
  if (head.status >= 300 || headerOf(head.headers, "content-encoding") !== undefined) return undefined;
  const { task, label } = exchange.request.endpoint;
  if (task === "starts") return new TaskTap(id => exchange.began(id));
  if (label === "none") return undefined;
  const text = hasContentType(head.headers, "application/json") || hasContentType(head.headers, "text/event-stream");
  return text ? new UsageTap() : undefined;
}

/** Finds the id of the task that an answer says has begun. */
class TaskTap implements Tap {
  readonly #scan = new TopLevelScan(TASK_ID);
  #found = false;

  constructor(private readonly onFound: (id: string) => void) {}

  feed(bytes: Uint8Array): void {
    if (this.#found) return;
    this.#scan.feed(bytes);
    const id = this.#scan.values.get("task_id");
    if (typeof id !== "string") return;
    this.#found = true;
    this.onFound(id);
  }
}

const TASK_ID = new Set(["task_id"]);
