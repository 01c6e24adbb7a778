import { NfrxError } from "./errors.ts";

/** Reads the data of server-sent events out of a body whose bytes pass by. Ids, names, comments and times are left out. */
export class EventReader {
  readonly #decoder = new TextDecoder();
  /** The line that has not ended yet. */
  #line = "";
  /** The lines of data of the event that has not ended yet. */
  #data: string[] = [];
  #length = 0;
  /** The last line ended with a CR: an LF that comes next belongs to it. */
  #afterCr = false;

  constructor(
    /** Characters of one event; a longer one makes `feed` throw. */
    private readonly limit: number,
    private readonly onData: (data: string) => void,
  ) {}

  feed(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true });
    let at = 0;
    for (const match of text.matchAll(LINE_END)) {
      // The LF of a CR LF that lies on the border of two chunks.
      if (!(this.#afterCr && match.index === 0 && match[0] === "\n")) {
        this.#line += text.slice(at, match.index);
        this.#endLine();
      }
      at = match.index + match[0].length;
    }
    if (text !== "") this.#afterCr = text.endsWith("\r");
    this.#line += text.slice(at);
    if (this.#length + this.#line.length > this.limit)
      throw new NfrxError("too_large", `an event of more than ${this.limit} characters`);
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = "";
    if (line === "") return this.#endEvent();
    const colon = line.indexOf(":");
    if ((colon === -1 ? line : line.slice(0, colon)) !== "data") return;
    const data = colon === -1 ? "" : line.slice(line.charCodeAt(colon + 1) === SPACE ? colon + 2 : colon + 1);
    this.#data.push(data);
    this.#length += data.length + 1;
  }

  #endEvent(): void {
    const data = this.#data;
    this.#data = [];
    this.#length = 0;
    if (data.length > 0) this.onData(data.length === 1 ? (data[0] ?? "") : data.join("\n"));
  }
}

const LINE_END = /\r\n|\n|\r/g;
const SPACE = 0x20;
