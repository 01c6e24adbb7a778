// Spans in OTLP's JSON, as OpenTelemetry's library writes them; the tests hold the two side by side. The library makes
// several objects of each attribute and keeps them all until it sends them. Here a span is bytes at once: what spans of one
// name have in common is copied, and what differs is written into it, with nothing left for the garbage collector. A busy
// broker could not spare what the other way costs.
import { type Attributes, type Span, SpanAttributes, TRACE_TEXT_MAX } from "./trace.ts";

/** Upper bound of a span's size, in bytes: TRACE_TEXT_MAX limits its texts, and it has fewer than twenty. */
export const SPAN_BYTES = 40 * 1024;
/** Maximum number of cached values per attribute; others are encoded each time. */
const KEPT_VALUES = 64;

const KINDS = { internal: 1, server: 2, client: 3 };
// Span flags: sampled; remote parent known; parent is remote.
const FROM_HERE = 0x001 | 0x100;
const FROM_ELSEWHERE = FROM_HERE | 0x200;
const NO_TRACE = "0".repeat(32);
const NO_SPAN = "0".repeat(16);
// Nanoseconds since 1970, until the year 2286.
const NO_TIME = "0".repeat(19);
const ZERO = 0x30;
const SPACE = 0x20;

const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");
const TAIL = bytesOf("]}]}]}");
const END = bytesOf("]}");
const TEXT_END = bytesOf('"}}');
const NUMBER_END = bytesOf("}}");

/** Writes spans that are sent together. */
export class SpanWriter {
  /** Number of spans since the last `take`. */
  spans = 0;
  readonly #head: Uint8Array;
  readonly #keys = new Map<string, Key>();
  readonly #facts = new WeakMap<SpanAttributes, Uint8Array>();
  readonly #shapes = new Map<string, (Shape | undefined)[]>();
  #bytes: Uint8Array<ArrayBuffer>;
  #spare: Uint8Array<ArrayBuffer> | undefined;
  #at = 0;

  constructor(
    private readonly size: number,
    resource: Attributes,
    scope: { name: string; version: string },
  ) {
    this.#bytes = new Uint8Array(size);
    this.#attributes(resource);
    const list = Buffer.from(this.#bytes.subarray(1, Math.max(1, this.#at))).toString("latin1");
    this.#at = 0;
    const owner = `{"resourceSpans":[{"resource":{"attributes":[${list}],"droppedAttributesCount":0}`;
    this.#head = bytesOf(`${owner},"scopeSpans":[{"scope":${ascii(scope)},"spans":[`);
  }

  /** True when another span may not fit. */
  get full(): boolean {
    return this.#at + SPAN_BYTES > this.size;
  }

  write(span: Span): void {
    const { context, parent, failure } = span;
    if (this.#at === 0) this.#put(this.#head);
    const shape = this.#shapeOf(span);
    const from = this.#at;
    this.#put(shape.bytes);
    // A span stands behind a comma, which the first has no use for; so do its attributes.
    if (this.spans++ === 0) this.#bytes[from] = SPACE;
    this.#text(context.traceId, from + shape.trace);
    this.#text(context.spanId, from + shape.span);
    if (parent !== undefined) this.#text(parent.spanId, from + shape.parent);
    this.#time(span.startedAt, from + shape.start);
    this.#time(span.endedAt, from + shape.end);
    const list = this.#at;
    for (const part of span.parts) {
      if (part instanceof SpanAttributes) this.#put(this.#bytesOf(part));
      else this.#attributes(part);
    }
    if (failure !== undefined) this.#attributes({ "error.type": failure });
    if (this.#at > list) this.#bytes[list] = SPACE;
    if (context.state === undefined) this.#put(END);
    else this.#put(bytesOf(`],"traceState":${ascii(context.state)}}`));
  }

  /** The written bytes; undefined if there are none. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#at === 0) return undefined;
    this.#put(TAIL);
    const body = this.#bytes.subarray(0, this.#at);
    this.#bytes = this.#spare ?? new Uint8Array(this.size);
    this.#spare = undefined;
    this.#at = 0;
    this.spans = 0;
    return body;
  }

  /** Returns a buffer of `take` for reuse. */
  reuse(body: Uint8Array<ArrayBuffer>): void {
    this.#spare = new Uint8Array(body.buffer);
  }

  #put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Writes ASCII; where it ends. */
  #text(text: string, at: number): number {
    const bytes = this.#bytes;
    for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
    return at + text.length;
  }

  /** Milliseconds as nanoseconds, which are more than a number holds. */
  #time(ms: number, at: number): void {
    const second = Math.floor(ms / 1000);
    this.#digits(second, at, 10);
    this.#digits(Math.floor((ms - second * 1000) * 1e6), at + 10, 9);
  }

  #digits(value: number, at: number, count: number): void {
    const bytes = this.#bytes;
    let rest = value;
    for (let i = at + count - 1; i >= at; i--) {
      const tenth = (rest / 10) | 0;
      bytes[i] = ZERO + rest - tenth * 10;
      rest = tenth;
    }
  }

  #attributes(attributes: Attributes): void {
    for (const name in attributes) {
      const value = attributes[name];
      if (value === undefined) continue;
      let key = this.#keys.get(name);
      if (key === undefined) {
        key = new Key(name);
        this.#keys.set(name, key);
      }
      const known = key.known.get(value);
      if (known !== undefined) this.#put(known);
      else this.#attribute(key, value);
    }
  }

  #attribute(key: Key, value: string | number | boolean): void {
    const from = this.#at;
    if (typeof value === "string") {
      const short = value.length > TRACE_TEXT_MAX ? value.slice(0, TRACE_TEXT_MAX) : value;
      this.#put(key.text);
      this.#at = this.#text(PLAIN.test(short) ? short : ascii(short).slice(1, -1), this.#at);
      this.#put(TEXT_END);
    } else {
      this.#put(typeof value === "boolean" ? key.bool : Number.isInteger(value) ? key.int : key.double);
      this.#at = this.#text(String(value), this.#at);
      this.#put(NUMBER_END);
    }
    if (key.known.size < KEPT_VALUES) key.known.set(value, this.#bytes.slice(from, this.#at));
  }

  #bytesOf(facts: SpanAttributes): Uint8Array {
    let bytes = this.#facts.get(facts);
    if (bytes === undefined) {
      const from = this.#at;
      this.#attributes(facts.attributes);
      bytes = this.#bytes.slice(from, this.#at);
      this.#at = from;
      this.#facts.set(facts, bytes);
    }
    return bytes;
  }

  #shapeOf({ name, kind, parent, remote, failure }: Span): Shape {
    let shapes = this.#shapes.get(name);
    if (shapes === undefined) {
      // A name belongs to one kind of work, and there are as many as there are routes.
      shapes = [];
      this.#shapes.set(name, shapes);
    }
    const which = (parent === undefined ? 0 : 1) | (remote ? 2 : 0) | (failure === undefined ? 0 : 4);
    const shape = shapes[which] ?? shapeOf({ name, kind: KINDS[kind], below: parent !== undefined, remote, failure });
    shapes[which] = shape;
    return shape;
  }
}

/** Common bytes of spans of one name, and the positions of the rest. */
interface Shape {
  bytes: Uint8Array;
  trace: number;
  span: number;
  parent: number;
  start: number;
  end: number;
}

function shapeOf(of: {
  name: string;
  kind: number;
  below: boolean;
  remote: boolean;
  failure: string | undefined;
}): Shape {
  const above = of.below ? `","parentSpanId":"${NO_SPAN}` : "";
  const flags = of.remote ? FROM_ELSEWHERE : FROM_HERE;
  const place = `,{"traceId":"${NO_TRACE}","spanId":"${NO_SPAN}${above}","flags":${flags}`;
  const when = `"startTimeUnixNano":"${NO_TIME}","endTimeUnixNano":"${NO_TIME}"`;
  const status = of.failure === undefined ? 0 : 2;
  const text = `${place},"name":${ascii(of.name)},"kind":${of.kind},${when},"status":{"code":${status}},"attributes":[`;
  const behind = (mark: string): number => text.indexOf(mark) + mark.length;
  return {
    bytes: bytesOf(text),
    trace: behind('{"traceId":"'),
    span: behind('","spanId":"'),
    parent: behind('","parentSpanId":"'),
    start: behind('"startTimeUnixNano":"'),
    end: behind('"endTimeUnixNano":"'),
  };
}

/** An attribute by name: its prefix, and cached encodings of early values. */
class Key {
  readonly text: Uint8Array;
  readonly int: Uint8Array;
  readonly double: Uint8Array;
  readonly bool: Uint8Array;
  readonly known = new Map<string | number | boolean, Uint8Array>();

  constructor(name: string) {
    const start = `,{"key":${ascii(name)},"value":{`;
    this.text = bytesOf(`${start}"stringValue":"`);
    this.int = bytesOf(`${start}"intValue":`);
    this.double = bytesOf(`${start}"doubleValue":`);
    this.bool = bytesOf(`${start}"boolValue":`);
  }
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
