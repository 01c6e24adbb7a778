import {
  BACKSLASH,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  SPACE,
} from "./json-chars.ts";

/**
 * Reads the scalar values of a few top-level keys of a JSON object from a byte stream, without building the document:
 * enough to route a body that is too large to parse. It does not validate the JSON.
 */
export class TopLevelScan {
  readonly values = new Map<string, string | number | boolean | null>();
  /** Where the values that are strings stand among all bytes, their quotes included: from, and up to but not including. */
  readonly spans = new Map<string, readonly [from: number, to: number]>();

  #depth = 0;
  #state: "key" | "colon" | "value" | "skip" = "key";
  /** Inside a string: its bytes so far, or undefined if they are not needed. */
  #text: number[] | undefined;
  #inString = false;
  #escaped = false;
  #key = "";
  /** Where the chunk's next quote is, as far as it has been looked for; found once, however many escapes stand before it. */
  #nextQuote = -1;
  #scalar = "";
  /** Bytes of the chunks before this one. */
  #before = 0;
  /** Where the string begins that is read. */
  #from = 0;

  constructor(private readonly wanted: ReadonlySet<string>) {}

  /** True once every wanted key has been seen. */
  get complete(): boolean {
    return this.values.size === this.wanted.size;
  }

  feed(chunk: Uint8Array): void {
    this.#nextQuote = -1;
    for (let at = 0; at < chunk.length; at++) {
      if (this.#inString) at = this.#string(chunk, at);
      else this.#plain(chunk[at]!, at);
    }
    this.#before += chunk.length;
  }

  /** Consumes string bytes from `at`; the index of the last byte taken. */
  #string(chunk: Uint8Array, at: number): number {
    if (this.#text === undefined && !this.#escaped) {
      // These bytes are not needed: skip to the next quote or backslash.
      if (this.#nextQuote < at) {
        const quote = chunk.indexOf(QUOTE, at);
        this.#nextQuote = quote === -1 ? chunk.length : quote;
      }
      const quote = this.#nextQuote;
      const backslash = chunk.subarray(at, quote).indexOf(BACKSLASH);
      if (backslash !== -1) {
        this.#escaped = true;
        return at + backslash;
      }
      if (quote === chunk.length) return quote;
      this.#inString = false;
      return quote;
    }
    const byte = chunk[at]!;
    if (this.#escaped) {
      this.#escaped = false;
      this.#push(byte);
    } else if (byte === BACKSLASH) {
      this.#escaped = true;
      this.#push(byte);
    } else if (byte === QUOTE) {
      this.#inString = false;
      this.#endString(at);
    } else {
      this.#push(byte);
    }
    return at;
  }

  #push(byte: number): void {
    if (this.#text === undefined) return;
    if (this.#text.length < LONGEST_TEXT) this.#text.push(byte);
    else this.#text = undefined;
  }

  #endString(at: number): void {
    const text = this.#text;
    this.#text = undefined;
    if (text === undefined) return;
    const value = unquote(text);
    if (this.#state === "key") {
      this.#key = value;
      this.#state = "colon";
    } else {
      if (this.wanted.has(this.#key)) this.spans.set(this.#key, [this.#from, this.#before + at + 1]);
      this.#store(value);
    }
  }

  #plain(byte: number, at: number): void {
    switch (byte) {
      case QUOTE:
        this.#inString = true;
        this.#from = this.#before + at;
        // A key that is too long must not leave the previous key in its place.
        if (this.#depth === 1 && this.#state === "key") this.#key = "";
        if (this.#depth === 1 && (this.#state === "key" || (this.#state === "value" && this.wanted.has(this.#key))))
          this.#text = [];
        return;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        this.#depth++;
        if (this.#depth === 2) this.#state = "skip";
        return;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        if (this.#depth === 1) this.#endScalar();
        this.#depth--;
        return;
      case COLON:
        if (this.#depth === 1) this.#state = "value";
        return;
      case COMMA:
        if (this.#depth !== 1) return;
        this.#endScalar();
        this.#state = "key";
        return;
      default:
        if (this.#depth === 1 && this.#state === "value" && byte > SPACE && this.#scalar.length < 32)
          this.#scalar += String.fromCharCode(byte);
    }
  }

  #endScalar(): void {
    const scalar = this.#scalar;
    this.#scalar = "";
    if (scalar === "" || this.#state !== "value") return;
    if (scalar === "true" || scalar === "false") this.#store(scalar === "true");
    else if (scalar === "null") this.#store(null);
    else this.#store(Number(scalar));
  }

  #store(value: string | number | boolean | null): void {
    if (this.wanted.has(this.#key)) this.values.set(this.#key, value);
    this.#state = "skip";
  }
}

/** Maximum size of a key or value, in bytes; longer ones are ignored. */
const LONGEST_TEXT = 1024;

function unquote(bytes: number[]): string {
  const raw = Buffer.from(bytes).toString("utf8");
  if (!raw.includes("\\")) return raw;
  try {
    const parsed: unknown = JSON.parse(`"${raw}"`);
    return typeof parsed === "string" ? parsed : raw;
  } catch {
    return raw;
  }
}
