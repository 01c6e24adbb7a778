import { TopLevelScan } from "../../lib/json-scan.ts";

const LF = 0x0a;
const CR = 0x0d;
const OPEN_BRACE = 0x7b;
const WANTED: ReadonlySet<string> = new Set(["id", "method"]);

/** What ends an event early: a name that no client of MCP looks at, given last, counts for all of it. */
const VOID = Buffer.from("event: nfrx.too_large\n\n");
const LINE_END = Buffer.from("\n");
/** Bytes that `VOID` may need. */
const ROOM = 64;

/** What is known of a message that was too large. */
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
  #last = 0;
  /** LF CR has ended an event, and an LF may still belong to it. */
  #open = false;
  #scan: TopLevelScan | undefined;
  #cut = false;

  constructor(
    private readonly limit: number,
    /** The event in the place of one that was too large; undefined for none. */
    private readonly instead: (message: TooLarge) => string | undefined,
  ) {}

  /** The next bytes as they go on; they may be views into `chunk`. */
  feed(chunk: Uint8Array): Uint8Array[] {
    const parts: Uint8Array[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      const ended = byte === LF ? this.#last === LF || this.#open : byte === CR && isLineEnd(this.#last);
      this.#open = byte === CR && this.#last === LF;
      this.#last = byte;
      if (!ended) continue;
      this.#part(chunk.subarray(from, at + 1), parts);
      parts.push(...this.end());
      from = at + 1;
    }
    if (from < chunk.length) this.#part(chunk.subarray(from), parts);
    return parts;
  }

  /** What remains to be said when the stream, or an event, is over. */
  end(): Uint8Array[] {
    const [cut, scan] = [this.#cut, this.#scan];
    this.#cut = false;
    this.#scan = undefined;
    this.#length = 0;
    const id = scan?.values.get("id");
    const known = typeof id === "string" || typeof id === "number" ? JSON.stringify(id) : undefined;
    const text = cut ? this.instead({ id: known, hasMethod: scan?.values.has("method") ?? false }) : undefined;
    return text === undefined ? [] : [Buffer.from(`event: message\ndata: ${text}\n\n`)];
  }

  #part(bytes: Uint8Array, parts: Uint8Array[]): void {
    this.#look(bytes);
    const room = this.limit - ROOM - this.#length;
    this.#length += bytes.length;
    if (this.#cut) return;
    if (bytes.length <= room) {
      parts.push(bytes);
      return;
    }
    this.#cut = true;
    const kept = bytes.subarray(0, Math.max(0, room));
    // What has left before may end with a line, and an empty one would end the event.
    const between = isLineEnd(kept.at(-1) ?? LF) ? [] : [LINE_END];
    parts.push(kept, ...between, VOID);
  }

  #look(bytes: Uint8Array): void {
    const from = this.#scan === undefined ? bytes.indexOf(OPEN_BRACE) : 0;
    if (from === -1) return;
    this.#scan ??= new TopLevelScan(WANTED);
    this.#scan.feed(bytes.subarray(from));
  }
}

function isLineEnd(byte: number): boolean {
  return byte === LF || byte === CR;
}
