// Spans in OTLP's JSON, as OpenTelemetry's library writes them; the tests hold the two side by side. The library makes
// several objects of each attribute and keeps them all until it sends them. Here a span is bytes when it ends, put down
// piece by piece with nothing left for the garbage collector: a busy broker could not spare what the other way costs.
import { type Attributes, Facts, type Span, TRACE_TEXT_MAX } from "./trace.ts";

/** Bytes that one span takes at most: TRACE_TEXT_MAX bounds its texts, and it has fewer than twenty. */
export const SPAN_BYTES = 40 * 1024;
/** Values of one attribute whose text is kept; those that come later are written anew each time. */
const KEPT_VALUES = 64;

const KINDS = { internal: 1, server: 2, client: 3 };
// The bits of flags: recorded, whether the parent is remote is known, and is so.
const FROM_HERE = `,"flags":${0x001 | 0x100}`;
const FROM_ELSEWHERE = `,"flags":${0x001 | 0x100 | 0x200}`;
const FINE = '","status":{"code":0},"attributes":[';
const FAILED = '","status":{"code":2},"attributes":[';
const TAIL = "]}]}]}";

/** Writes spans that are sent together. */
export class SpanWriter {
  /** How many have been written since the last `take`. */
  spans = 0;
  readonly #head: string;
  readonly #keys = new Map<string, Key>();
  readonly #facts = new WeakMap<Facts, string>();
  readonly #names = new Map<string, string>();
  #bytes: Buffer | undefined;
  #spare: Buffer | undefined;
  #at = 0;
  #second = 0;
  #secondText = "";

  constructor(
    private readonly size: number,
    resource: Attributes,
    scope: { name: string; version: string },
  ) {
    const list = this.#text(resource).slice(1);
    const owner = `{"resourceSpans":[{"resource":{"attributes":[${list}],"droppedAttributesCount":0}`;
    this.#head = `${owner},"scopeSpans":[{"scope":${ascii(scope)},"spans":[`;
  }

  /** True when another span may not fit. */
  get full(): boolean {
    return this.#bytes !== undefined && this.#at + SPAN_BYTES > this.size;
  }

  write(span: Span): void {
    const { context, parent, failure } = span;
    if (this.#bytes === undefined) {
      this.#bytes = this.#spare ?? Buffer.allocUnsafeSlow(this.size);
      this.#spare = undefined;
      this.#put(this.#head);
    }
    // Of many small pieces one text and of that bytes: each call into the buffer costs as much as a dozen pieces do.
    const above = parent === undefined ? '"' : `","parentSpanId":"${parent.spanId}"`;
    const state = context.state === undefined ? "" : `,"traceState":${ascii(context.state)}`;
    const flags = span.remote ? FROM_ELSEWHERE : FROM_HERE;
    let list = "";
    for (const part of span.parts) list += part instanceof Facts ? this.#textOf(part) : this.#text(part);
    if (failure !== undefined) list += this.#text({ "error.type": failure });
    const place = `${this.spans++ === 0 ? "" : ","}{"traceId":"${context.traceId}","spanId":"${context.spanId}${above}`;
    const when = `${this.#time(span.startedAt)}","endTimeUnixNano":"${this.#time(span.endedAt)}`;
    this.#put(`${place}${state}${flags}${this.#name(span)}${when}${failure === undefined ? FINE : FAILED}${list}]}`);
    // Each attribute stands behind a comma, which the first has no use for.
    if (list !== "") this.#bytes[this.#at - 2 - list.length] = SPACE;
  }

  /** What has been written, whole; undefined when that is nothing. */
  take(): Uint8Array | undefined {
    const bytes = this.#bytes;
    if (bytes === undefined) return undefined;
    this.#put(TAIL);
    const body = bytes.subarray(0, this.#at);
    this.#bytes = undefined;
    this.#at = 0;
    this.spans = 0;
    return body;
  }

  /** Gives back what `take` has given, to be written over. */
  reuse(body: Uint8Array): void {
    if (body.buffer instanceof ArrayBuffer) this.#spare = Buffer.from(body.buffer);
  }

  #put(text: string): void {
    if (this.#bytes !== undefined) this.#at += this.#bytes.write(text, this.#at, "latin1");
  }

  /** Milliseconds as nanoseconds, which are more than a number holds. */
  #time(ms: number): string {
    const second = Math.floor(ms / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = String(second);
    }
    // With a one before it no zero is lost.
    return this.#secondText + String(1_000_000_000 + Math.floor((ms - second * 1000) * 1e6)).slice(1);
  }

  #name({ name, kind }: Span): string {
    let text = this.#names.get(name);
    if (text === undefined) {
      text = `,"name":${ascii(name)},"kind":${KINDS[kind]},"startTimeUnixNano":"`;
      // A name belongs to one kind of work, and there are as many as there are routes.
      this.#names.set(name, text);
    }
    return text;
  }

  #textOf(facts: Facts): string {
    let text = this.#facts.get(facts);
    if (text === undefined) {
      text = this.#text(facts.attributes);
      this.#facts.set(facts, text);
    }
    return text;
  }

  #text(attributes: Attributes): string {
    let text = "";
    for (const name in attributes) {
      const value = attributes[name];
      if (value === undefined) continue;
      text += this.#key(name).of(value);
    }
    return text;
  }

  #key(name: string): Key {
    let key = this.#keys.get(name);
    if (key === undefined) {
      key = new Key(name);
      this.#keys.set(name, key);
    }
    return key;
  }
}

const SPACE = 0x20;

/** An attribute by its name: what stands before its values. */
class Key {
  readonly #start: string;
  readonly #known = new Map<string | number | boolean, string>();

  constructor(name: string) {
    this.#start = `,{"key":${ascii(name)},"value":{`;
  }

  /** The whole of it, with a value. */
  of(value: string | number | boolean): string {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    const text = `${this.#start}${valueText(value)}}}`;
    if (this.#known.size < KEPT_VALUES) this.#known.set(value, text);
    return text;
  }
}

function valueText(value: string | number | boolean): string {
  if (typeof value === "boolean") return `"boolValue":${value}`;
  if (typeof value === "number") return Number.isInteger(value) ? `"intValue":${value}` : `"doubleValue":${value}`;
  const short = value.length > TRACE_TEXT_MAX ? value.slice(0, TRACE_TEXT_MAX) : value;
  return `"stringValue":${PLAIN.test(short) ? `"${short}"` : ascii(short)}`;
}

/** JSON in ASCII, of which each character is a byte. */
function ascii(value: string | object): string {
  return JSON.stringify(value).replace(
    BEYOND,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Nothing that JSON or a byte would want written otherwise. */
const PLAIN = /^[ !#-[\]-~]*$/;
const BEYOND = /[\u007f-\uffff]/g;
