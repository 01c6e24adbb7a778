import { asText } from "../../../lib/bytes.ts";
import { TopLevelScan } from "../../../lib/json-scan.ts";

/** Properties of a line that was too long. */
export interface Overlong {
  /** The id at the top level of the JSON that it was, as JSON. */
  id: string | undefined;
  /** True if it names a method: a request or a notification, not a response. */
  hasMethod: boolean;
  bytes: number;
}

/**
 * Splits bytes into lines of UTF-8 across chunk boundaries; removes a CR before the line end, and empty lines. Of a
 * line beyond `limit` bytes only its properties are kept.
 */
export class LineFramer {
  #parts: Uint8Array[] = [];
  #length = 0;
  #scan: TopLevelScan | undefined;

  constructor(
    private readonly limit: number,
    private readonly onLine: (line: string) => void,
    private readonly onOverlong: (line: Overlong) => void,
  ) {}

  push(chunk: Uint8Array): void {
    let rest = chunk;
    for (;;) {
      const end = rest.indexOf(LINE_FEED);
      if (end === -1) break;
      this.#keep(rest.subarray(0, end));
      this.#line();
      rest = rest.subarray(end + 1);
    }
    if (rest.length > 0) this.#keep(rest);
  }

  /** A last line without an end counts as one. */
  end(): void {
    this.#line();
  }

  #keep(bytes: Uint8Array): void {
    this.#length += bytes.length;
    if (this.#scan !== undefined) {
      this.#scan.feed(bytes);
    } else if (this.#length > this.limit) {
      this.#scan = new TopLevelScan(WANTED);
      for (const part of this.#parts) this.#scan.feed(part);
      this.#scan.feed(bytes);
      this.#parts = [];
    } else if (bytes.length > 0) {
      this.#parts.push(bytes);
    }
  }

  #line(): void {
    const [first = EMPTY] = this.#parts;
    const bytes = this.#parts.length <= 1 ? first : Buffer.concat(this.#parts, this.#length);
    const [scan, length] = [this.#scan, this.#length];
    this.#parts = [];
    this.#length = 0;
    this.#scan = undefined;
    if (scan !== undefined) return this.onOverlong(overlong(scan, length));
    const line = asText(bytes.at(-1) === CARRIAGE_RETURN ? bytes.subarray(0, -1) : bytes);
    if (line !== "") this.onLine(line);
  }
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const EMPTY = new Uint8Array();
const WANTED: ReadonlySet<string> = new Set(["id", "method"]);

function overlong(scan: TopLevelScan, bytes: number): Overlong {
  const id = scan.values.get("id");
  const known = typeof id === "string" || typeof id === "number";
  return { id: known ? JSON.stringify(id) : undefined, hasMethod: scan.values.has("method"), bytes };
}
