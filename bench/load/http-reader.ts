/** An incremental HTTP/1.1 response reader: as little work per response as correctness allows. */

export interface Sink {
  onHead(status: number): void;
  onBody(part: Buffer): void;
  onEnd(): void;
}

type State = "head" | "fixed" | "size" | "chunk" | "chunk-end" | "trailer" | "rest";

const HEAD_LIMIT = 65536;
const LINE_LIMIT = 4096;

/** Parses the bytes that it is fed and calls the sink. Throws on anything that is not HTTP; the connection is then useless. */
export class ResponseReader {
  #state: State = "head";
  #left = 0;
  #kept: Buffer | null = null;
  #sink: Sink;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** The connection has ended. True when that is also the regular end of the response in progress. */
  ended(): boolean {
    if (this.#state !== "rest") return false;
    this.#finish();
    return true;
  }

  feed(data: Buffer): void {
    let bytes = data;
    if (this.#kept !== null) {
      bytes = Buffer.concat([this.#kept, data]);
      this.#kept = null;
    }
    let at = 0;
    while (at < bytes.length) {
      const next = this.#step(bytes, at);
      if (next === null) {
        this.#kept = Buffer.from(bytes.subarray(at));
        return;
      }
      at = next;
    }
  }

  /** Takes one element from `at`; returns where the next begins, or null when this one is not complete yet. */
  #step(bytes: Buffer, at: number): number | null {
    switch (this.#state) {
      case "head":
        return this.#head(bytes, at);
      case "fixed":
      case "chunk":
        return this.#counted(bytes, at);
      case "rest":
        this.#sink.onBody(bytes.subarray(at));
        return bytes.length;
      case "chunk-end":
        if (bytes.length - at < 2) return null;
        if (bytes[at] !== 13 || bytes[at + 1] !== 10) throw new Error("a chunk does not end where it says");
        this.#state = "size";
        return at + 2;
      case "size":
      case "trailer":
        return this.#line(bytes, at);
    }
  }

  #head(bytes: Buffer, at: number): number | null {
    const end = bytes.indexOf("\r\n\r\n", at);
    if (end < 0) {
      if (bytes.length - at > HEAD_LIMIT) throw new Error("response head too long");
      return null;
    }
    const head = bytes.toString("latin1", at, end);
    if (!head.startsWith("HTTP/1.")) throw new Error("not an HTTP response");
    const status = Number(head.slice(9, 12));
    if (status < 200) return end + 4;
    this.#sink.onHead(status);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (status === 204 || status === 304) this.#finish();
    else if (/\r\ntransfer-encoding: *chunked/i.test(head)) this.#state = "size";
    else if (length) this.#count("fixed", Number(length[1]));
    else this.#state = "rest";
    return end + 4;
  }

  #count(state: "fixed" | "chunk", length: number): void {
    this.#left = length;
    if (length > 0) this.#state = state;
    else this.#finish();
  }

  #counted(bytes: Buffer, at: number): number {
    const length = Math.min(this.#left, bytes.length - at);
    this.#left -= length;
    this.#sink.onBody(bytes.subarray(at, at + length));
    if (this.#left === 0) {
      if (this.#state === "chunk") this.#state = "chunk-end";
      else this.#finish();
    }
    return at + length;
  }

  #line(bytes: Buffer, at: number): number | null {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) {
      if (bytes.length - at > LINE_LIMIT) throw new Error("chunk line too long");
      return null;
    }
    if (this.#state === "trailer") {
      if (end === at) this.#finish();
      return end + 2;
    }
    const size = Number.parseInt(bytes.toString("latin1", at, end), 16);
    if (!(size >= 0)) throw new Error("bad chunk size");
    if (size === 0) this.#state = "trailer";
    else this.#count("chunk", size);
    return end + 2;
  }

  #finish(): void {
    this.#state = "head";
    this.#sink.onEnd();
  }
}
