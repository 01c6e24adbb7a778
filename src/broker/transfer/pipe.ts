import { discard } from "../../lib/bytes.ts";
import { NfrxError } from "../../lib/errors.ts";
import { type Clock, IdleTimer } from "../../lib/time.ts";
import type { ChunkReader } from "../http/body/body.ts";

/** Outcome of a transfer: completed, failed at one end, or canceled. */
export type PipeEnd = "done" | "writer_gone" | "reader_gone" | "writer_silent" | "reader_silent" | "closed";

/** The error for both ends of a failed transfer. */
export function reasonFor(end: Exclude<PipeEnd, "done">): NfrxError {
  return end === "closed" ? CLOSED() : FAILED();
}

const CLOSED = () => new NfrxError("transfer_closed", "the transfer was canceled");
const FAILED = () => new NfrxError("transfer_failed", "the other end disconnected, or one end was idle for too long");

/** Throws it. */
function requireDone(end: PipeEnd): void {
  if (end !== "done") throw reasonFor(end);
}

/** Outcome of one end's request: canceled if its client disconnected, failed if the other's did. */
export function failureFor(own: "reader" | "writer", end: PipeEnd): NfrxError | undefined {
  if (end === "done") return undefined;
  if (end === `${own}_gone`) return new NfrxError("canceled", "the client disconnected");
  return end === "closed" ? CLOSED() : FAILED();
}

export interface PipeOptions {
  reader: Request;
  writer: Request;
  clock: Clock;
  /** Milliseconds without a byte after which it fails. */
  idleMs: number;
  onBytes(bytes: number): void;
  /** Called once, before either end is notified. */
  onEnd(end: PipeEnd): void;
}

/**
 * The way of the bytes from a writer's request to a reader's response, once both are there. The reader sets the pace: the
 * next chunk is taken from the writer when the one before has left for the reader.
 */
export class Pipe {
  /** How it ended. */
  readonly ended: Promise<PipeEnd>;
  /** The writer's body, for handling its rest. */
  readonly source: ChunkReader | undefined;

  readonly #options: PipeOptions;
  /** Bytes that the writer has announced. */
  readonly #announced: number | undefined;
  readonly #end = Promise.withResolvers<PipeEnd>();
  readonly #idle: IdleTimer;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #over = false;
  #bytes = 0;
  /** The end that must act next. */
  #turn: "writer" | "reader" = "writer";

  constructor(options: PipeOptions) {
    const { writer, reader, clock, idleMs } = options;
    this.#options = options;
    this.source = writer.body?.getReader();
    const announced = writer.headers.get("content-length");
    this.#announced = announced === null ? undefined : Number(announced);
    this.ended = this.#end.promise;
    this.#idle = new IdleTimer(clock, idleMs, () =>
      this.#finish(this.#turn === "writer" ? "writer_silent" : "reader_silent"),
    );
    writer.signal.addEventListener("abort", this.#writerGone);
    reader.signal.addEventListener("abort", this.#readerGone);
    if (reader.signal.aborted) this.#readerGone();
  }

  /** How many have passed. */
  get bytes(): number {
    return this.#bytes;
  }

  readonly #writerGone = (): void => this.#finish("writer_gone");
  readonly #readerGone = (): void => this.#finish("reader_gone");

  /**
   * The reader's response, once there is something to read. Rejects when it fails before that; afterwards a failure cuts
   * the response.
   */
  async response(): Promise<Response> {
    const first = await Promise.race([this.#take(), this.ended.then(() => undefined)]);
    if (this.#over) requireDone(await this.ended);
    const headers: Record<string, string> = {
      "content-type": this.#options.writer.headers.get("content-type") ?? "application/octet-stream",
      "cache-control": "no-store",
      // A browser must not act on the writer's content type on the broker's own origin.
      "content-disposition": "attachment",
      "x-content-type-options": "nosniff",
    };
    if (this.#announced !== undefined) headers["x-transfer-length"] = String(this.#announced);
    return new Response(first === undefined ? null : this.#body(first), { headers });
  }

  /** Ends it now, for both. */
  close(): void {
    this.#finish("closed");
  }

  #body(first: Uint8Array): ReadableStream<Uint8Array> {
    let next: Uint8Array | undefined = first;
    let given: Uint8Array | undefined;
    return new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller;
        },
        pull: async controller => {
          // Bun asks for more when what it was given has left, or lies in a buffer of its own; the tests hold it to that.
          if (given !== undefined) discard(given);
          given = next ?? (await this.#take());
          next = undefined;
          if (given !== undefined && !this.#over) controller.enqueue(given);
        },
        cancel: this.#readerGone,
      },
      { highWaterMark: 0 },
    );
  }

  /** The writer's next bytes; undefined when it is over, one way or the other. */
  async #take(): Promise<Uint8Array | undefined> {
    this.#turn = "writer";
    this.#idle.touch();
    let chunk: Uint8Array | undefined;
    try {
      chunk = (await this.source?.read())?.value;
    } catch {
      this.#writerGone();
    }
    if (this.#over) return undefined;
    this.#turn = "reader";
    this.#idle.touch();
    if (chunk === undefined) {
      this.#finish(this.#bytes < (this.#announced ?? 0) ? "writer_gone" : "done");
      return undefined;
    }
    this.#bytes += chunk.length;
    this.#options.onBytes(chunk.length);
    return chunk;
  }

  #finish(end: PipeEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#idle.cancel();
    this.#options.writer.signal.removeEventListener("abort", this.#writerGone);
    this.#options.reader.signal.removeEventListener("abort", this.#readerGone);
    this.#options.onEnd(end);
    if (end === "done") this.#controller?.close();
    // Resets the reader's connection, so that a part does not look complete; Bun prints a trace for any reason but
    // undefined.
    else if (end !== "reader_gone") this.#controller?.error(undefined);
    this.#end.resolve(end);
  }
}
