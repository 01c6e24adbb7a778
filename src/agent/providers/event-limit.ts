import { OPEN_BRACE } from "../../lib/json-chars.ts";
import { TopLevelScan } from "../../lib/json-scan.ts";
import { sseEvent } from "../../lib/sse.ts";
import { isLineEnd, SseEventBoundary } from "../../lib/sse-event-boundary.ts";
import { EventReader } from "../../lib/sse-reader.ts";

const WANTED: ReadonlySet<string> = new Set(["id", "method"]);

/** Ends an event early: an event name that MCP clients ignore; the last name applies to the whole event. */
const VOID_NAME = "nfrx.too_large";
const VOID = Buffer.from(`event: ${VOID_NAME}\n\n`);
const NEW_LINE = 0x0a;
const LINE_END = Buffer.of(NEW_LINE);
/** Buffer size for `VOID`, in bytes. */
const ROOM = 64;

/** Properties of a message that was too large. */
export interface TooLarge {
  /** Its id, as JSON. */
  id: string | undefined;
  /** It is a request or a notification of the server. */
  hasMethod: boolean;
}

/**
 * Passes an event stream on as it is, but for events that are larger than `limit` bytes. Of such a one the beginning has
 * left before its size is known: it is ended under a name that clients ignore, and an event takes its place.
 */
export class EventLimit {
  /** Bytes of the event so far. */
  #length = 0;
  /** The last byte of the event that has been passed on. */
  #last = NEW_LINE;
  readonly #boundary = new SseEventBoundary();
  #scan: TopLevelScan | undefined;
  #cut = false;

  constructor(
    private readonly limit: number,
    /** The event in the place of one that was too large; undefined for none. */
    private readonly instead: (message: TooLarge) => string | undefined,
  ) {}

  /** The next bytes as they go on; they may be views into `chunk`. */
  *feed(chunk: Uint8Array): Generator<Uint8Array> {
    let from = 0;
    for (let end = this.#boundary.next(chunk); end !== -1; end = this.#boundary.next(chunk, end)) {
      yield* this.#part(chunk.subarray(from, end));
      yield* this.end();
      from = end;
    }
    if (from < chunk.length) yield* this.#part(chunk.subarray(from));
  }

  /** The output at the end of the stream or of an event. */
  end(): Uint8Array[] {
    const [cut, scan] = [this.#cut, this.#scan];
    this.#cut = false;
    this.#scan = undefined;
    this.#length = 0;
    this.#last = NEW_LINE;
    const id = scan?.values.get("id");
    const known = typeof id === "string" || typeof id === "number" ? JSON.stringify(id) : undefined;
    const text = cut ? this.instead({ id: known, hasMethod: scan?.values.has("method") ?? false }) : undefined;
    return text === undefined ? [] : [Buffer.from(sseEvent(text, { event: "message" }))];
  }

  *#part(bytes: Uint8Array): Generator<Uint8Array> {
    this.#look(bytes);
    const room = this.limit - ROOM - this.#length;
    this.#length += bytes.length;
    if (this.#cut) return;
    if (bytes.length <= room) {
      this.#last = bytes.at(-1) ?? this.#last;
      return yield bytes;
    }
    this.#cut = true;
    const kept = bytes.subarray(0, Math.max(0, room));
    // The data sent before may end with a line break, and an empty line would end the event.
    yield kept;
    if (!isLineEnd(kept.at(-1) ?? this.#last)) yield LINE_END;
    yield VOID;
  }

  #look(bytes: Uint8Array): void {
    const from = this.#scan === undefined ? bytes.indexOf(OPEN_BRACE) : 0;
    if (from === -1) return;
    this.#scan ??= new TopLevelScan(WANTED);
    this.#scan.feed(bytes.subarray(from));
  }
}

/** Reads events of at most `limit` bytes from the chunks that it is given; a larger one is left out. */
export function limitedReader(
  limit: number,
  onEvent: (data: string, name: string) => void,
  onTooLarge: (message: TooLarge) => void = () => {},
): (chunk: Uint8Array) => void {
  const events = new EventLimit(limit, message => void onTooLarge(message));
  const reader = new EventReader(limit, (data, name) => {
    if (name !== VOID_NAME) onEvent(data, name);
  });
  return chunk => {
    for (const part of events.feed(chunk)) reader.feed(part);
  };
}
