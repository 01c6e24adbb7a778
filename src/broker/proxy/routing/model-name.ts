// Puts another name where a request's body names its model; every other byte stays as it was sent.
import { type JsonSpan, spanOf } from "../../../lib/json-span.ts";

/** Where a body names its model, and how to exchange that name. */
export interface ModelName {
  /** How many bytes the body grows by. */
  growth(name: string): number;
  /** A whole body with the name. */
  whole(body: Uint8Array, name: string): Uint8Array;
  /** The same of a body that passes through. */
  stream(chunks: AsyncIterable<Uint8Array>, name: string): AsyncIterable<Uint8Array>;
}

/** A JSON object that is in memory; without a `model` it gets one. */
export class WholeJsonModel implements ModelName {
  constructor(private readonly body: Uint8Array) {}

  growth(name: string): number {
    return this.whole(this.body, name).length - this.body.length;
  }

  whole(body: Uint8Array, name: string): Uint8Array {
    // One character per byte: the text between the quotes may be invalid UTF-8.
    const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString("latin1");
    const span = spanOf(text, ["model"]);
    if (span !== undefined) return spliced(body, span, Buffer.from(JSON.stringify(name)));
    const at = text.indexOf("{") + 1;
    const more = /^\s*\}/.test(text.slice(at)) ? "" : ",";
    return spliced(body, [at, at], Buffer.from(`"model":${JSON.stringify(name)}${more}`));
  }

  async *stream(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array, void> {
    const all: Uint8Array[] = [];
    for await (const chunk of chunks) all.push(Buffer.from(chunk));
    yield this.whole(Buffer.concat(all), name);
  }
}

function spliced(body: Uint8Array, [from, to]: JsonSpan, value: Uint8Array): Uint8Array {
  return Buffer.concat([body.subarray(0, from), value, body.subarray(to)]);
}

/** A forwarded JSON object whose model has a known position. */
export class JsonModelAt implements ModelName {
  constructor(private readonly span: JsonSpan) {}

  growth(name: string): number {
    return Buffer.byteLength(JSON.stringify(name)) - (this.span[1] - this.span[0]);
  }

  whole(body: Uint8Array, name: string): Uint8Array {
    return spliced(body, this.span, Buffer.from(JSON.stringify(name)));
  }

  async *stream(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array, void> {
    const [from, to] = this.span;
    let at = 0;
    for await (const chunk of chunks) {
      const end = at + chunk.length;
      if (at < from) yield chunk.subarray(0, Math.min(chunk.length, from - at));
      if (at <= from && from < end) yield Buffer.from(JSON.stringify(name));
      if (end > to) yield chunk.subarray(Math.max(0, to - at));
      at = end;
    }
  }
}

/** A multipart form; without a part `model` it gets one. */
export class FormModel implements ModelName {
  constructor(
    private readonly boundary: string,
    /** The name that stands there. */
    private readonly present: string | undefined,
  ) {}

  growth(name: string): number {
    return this.present === undefined
      ? this.#part(name).length
      : Buffer.byteLength(name) - Buffer.byteLength(this.present);
  }

  whole(body: Uint8Array, name: string): Uint8Array {
    if (this.present === undefined) return Buffer.concat([this.#part(name), body]);
    const edit = new FormEdit(this.boundary, name);
    return Buffer.concat([...edit.push(body), edit.end()]);
  }

  async *stream(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array, void> {
    if (this.present === undefined) {
      yield this.#part(name);
      yield* chunks;
      return;
    }
    const edit = new FormEdit(this.boundary, name);
    for await (const chunk of chunks) yield* edit.push(chunk);
    yield edit.end();
  }

  #part(name: string): Buffer {
    return Buffer.from(`--${this.boundary}\r\ncontent-disposition: form-data; name="model"\r\n\r\n${name}\r\n`);
  }
}

/** Maximum size of a form part's header lines that are read, in bytes; parts with more are skipped. */
const PART_HEADER_BYTES = 16 * 1024;
const PART_NAME =
  /^content-disposition:\s*form-data\s*;(?:[^\r\n]*;)?\s*name\s*=\s*(?:"([^"\r\n]*)"|([^\s";]*))\s*(?:;|$)/im;
const FOLDED_LINE = /\r\n[ \t]+/g;
const BLANK_LINE = Buffer.from("\r\n\r\n");
const LINE_END = Buffer.from("\r\n");

/** Exchanges the value of a form's first part `model` while the form passes by. */
class FormEdit {
  readonly #delimiter: Buffer;
  #state: "body" | "headers" | "value" | "rest" = "body";
  /**
   * Data that cannot be processed yet. It begins with a line break that is not part of the form, so that the first
   * delimiter is found like the others.
   */
  #pending: Buffer = LINE_END;
  #borrowed = LINE_END.length;

  constructor(
    boundary: string,
    private readonly name: string,
  ) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`);
  }

  push(chunk: Uint8Array): Uint8Array[] {
    if (this.#state === "rest") return [chunk];
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const out: Uint8Array[] = [];
    while (this.#step(out));
    return out;
  }

  /** The rest at the end of the form. */
  end(): Uint8Array {
    return this.#pending.subarray(this.#borrowed);
  }

  /** True if there may be more to process. */
  #step(out: Uint8Array[]): boolean {
    if (this.#state === "rest") {
      if (this.#pending.length > 0) this.#give(out, this.#pending.length);
      return false;
    }
    if (this.#state === "headers") return this.#headers(out);
    const at = this.#pending.indexOf(this.#delimiter);
    const known = at === -1 ? Math.max(0, this.#pending.length - this.#delimiter.length + 1) : at;
    if (this.#state === "value") this.#pending = this.#pending.subarray(known);
    else this.#give(out, known);
    if (at === -1) return false;
    this.#give(out, this.#delimiter.length);
    this.#state = this.#state === "value" ? "rest" : "headers";
    return true;
  }

  #headers(out: Uint8Array[]): boolean {
    const end = this.#pending.indexOf(BLANK_LINE);
    if (end === -1 && this.#pending.length < PART_HEADER_BYTES) return false;
    const headers = this.#pending.toString("latin1", 0, end === -1 ? 0 : end);
    const name = PART_NAME.exec(headers.replace(FOLDED_LINE, " "));
    const isModel = name?.[1] === "model" || name?.[2] === "model";
    if (end !== -1) this.#give(out, end + BLANK_LINE.length);
    if (isModel) out.push(Buffer.from(this.name));
    this.#state = isModel ? "value" : "body";
    return true;
  }

  #give(out: Uint8Array[], length: number): void {
    const own = Math.min(this.#borrowed, length);
    if (length > own) out.push(this.#pending.subarray(own, length));
    this.#borrowed -= own;
    this.#pending = this.#pending.subarray(length);
  }
}
