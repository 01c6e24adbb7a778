// Wire v2: how a frame is laid out in bytes. README.md is the specification; this file mirrors it.
import { asBuffer } from "../lib/bytes.ts";
import { NfrxError } from "../lib/errors.ts";
import { FRAME_MAX, HEAD_MAX } from "./limits.ts";

export type HeaderList = [name: string, value: string][];

export interface RequestHead {
  method: string;
  path: string;
  headers: HeaderList;
}

export interface ResponseHead {
  status: number;
  headers: HeaderList;
}

export type Head = RequestHead | ResponseHead;

export const Kind = { HEAD: 1, DATA: 2, RESET: 3, WINDOW: 4, GOAWAY: 5, PING: 6, PONG: 7 } as const;

/** Flag on the last HEAD or DATA of one direction. */
const END = 1;

/** kind 1 byte, flags 1 byte, stream id 4 bytes, payload length 4 bytes; big endian. */
const FRAME_HEADER = 10;

/** Receiver of decoded frames. Payloads are views into the message and must be copied to be kept. */
export interface FrameSink {
  onHead(id: number, head: Head, end: boolean): void;
  /** `keeps` is the size of the message that the view `bytes` keeps alive. */
  onData(id: number, bytes: Uint8Array, end: boolean, keeps: number): void;
  onReset(id: number, code: string, message: string): void;
  onWindow(id: number, bytes: number): void;
  onGoaway(): void;
  onPing(payload: Uint8Array): void;
  onPong(payload: Uint8Array): void;
}

/** A growing batch of frames that leaves as one message. The bytes of `take` are valid until the next `put`. */
export class FrameBatch {
  #buffer = Buffer.allocUnsafeSlow(64 * 1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  putHead(id: number, head: Head, end: boolean): void {
    const json = JSON.stringify(
      "method" in head ? [head.method, head.path, head.headers] : [head.status, head.headers],
    );
    // UTF-8 needs at most three bytes for a UTF-16 unit.
    this.#reserve(FRAME_HEADER + json.length * 3);
    const length = this.#buffer.write(json, this.#length + FRAME_HEADER);
    if (length > HEAD_MAX) throw new NfrxError("headers_too_large", `headers are larger than ${HEAD_MAX} bytes`);
    this.#header(Kind.HEAD, end ? END : 0, id, length);
    this.#length += length;
  }

  putData(id: number, bytes: Uint8Array, end: boolean): void {
    this.#reserve(FRAME_HEADER + bytes.length);
    this.#header(Kind.DATA, end ? END : 0, id, bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  putReset(id: number, code: string, message: string): void {
    const json = JSON.stringify([code, message.slice(0, 1024)]);
    this.#reserve(FRAME_HEADER + json.length * 3);
    const length = this.#buffer.write(json, this.#length + FRAME_HEADER);
    this.#header(Kind.RESET, 0, id, length);
    this.#length += length;
  }

  putWindow(id: number, bytes: number): void {
    this.#reserve(FRAME_HEADER + 4);
    this.#header(Kind.WINDOW, 0, id, 4);
    this.#length = this.#buffer.writeUInt32BE(bytes, this.#length);
  }

  /** GOAWAY, PING and PONG: a header and up to eight bytes. */
  putSignal(kind: number, payload: Uint8Array = EMPTY): void {
    this.#reserve(FRAME_HEADER + payload.length);
    this.#header(kind, 0, 0, payload.length);
    this.#buffer.set(payload, this.#length);
    this.#length += payload.length;
  }

  take(): Uint8Array {
    const bytes = this.#buffer.subarray(0, this.#length);
    this.#length = 0;
    return bytes;
  }

  #header(kind: number, flags: number, id: number, length: number): void {
    const buffer = this.#buffer;
    const at = this.#length;
    buffer[at] = kind;
    buffer[at + 1] = flags;
    buffer.writeUInt32BE(id, at + 2);
    buffer.writeUInt32BE(length, at + 6);
    this.#length = at + FRAME_HEADER;
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

const EMPTY = new Uint8Array(0);

/** Hands every frame of one message to the sink. Throws `protocol` on anything that is not a whole number of sound frames. */
export function decodeFrames(message: Uint8Array, sink: FrameSink): void {
  const buffer = asBuffer(message);
  let at = 0;
  while (at < buffer.length) {
    if (buffer.length - at < FRAME_HEADER) throw malformed("truncated frame header");
    const kind = buffer[at];
    const end = ((buffer[at + 1] ?? 0) & END) !== 0;
    const id = buffer.readUInt32BE(at + 2);
    const length = buffer.readUInt32BE(at + 6);
    at += FRAME_HEADER;
    if (length > FRAME_MAX) throw malformed(`a frame of ${length} bytes is larger than ${FRAME_MAX}`);
    if (buffer.length - at < length) throw malformed("truncated frame");
    dispatch(kind, id, end, buffer.subarray(at, at + length), buffer.length, sink);
    at += length;
  }
}

function dispatch(
  kind: number | undefined,
  id: number,
  end: boolean,
  payload: Buffer,
  keeps: number,
  sink: FrameSink,
): void {
  switch (kind) {
    case Kind.HEAD:
      return sink.onHead(id, parseHead(payload), end);
    case Kind.DATA:
      return sink.onData(id, payload, end, keeps);
    case Kind.RESET: {
      const reset = parseJson(payload);
      const [code, message] = Array.isArray(reset) ? reset : [];
      return sink.onReset(id, String(code), String(message ?? ""));
    }
    case Kind.WINDOW:
      if (payload.length !== 4) throw malformed("a WINDOW frame must hold four bytes");
      return sink.onWindow(id, payload.readUInt32BE(0));
    case Kind.GOAWAY:
      return sink.onGoaway();
    case Kind.PING:
      if (payload.length > 8) throw malformed("a PING frame holds at most eight bytes");
      return sink.onPing(payload);
    case Kind.PONG:
      return sink.onPong(payload);
    default:
      // An unknown kind has a known length: a later version may add one, so it is passed over.
      return;
  }
}

// Checked by hand, not with a schema: this runs twice for every request.
function parseHead(payload: Buffer): Head {
  const value = parseJson(payload);
  if (!Array.isArray(value)) throw malformed("a head must be an array");
  const [first, second, third]: unknown[] = value;
  if (typeof first === "number" && isHeaderList(second)) return { status: first, headers: second };
  if (typeof first === "string" && typeof second === "string" && isHeaderList(third)) {
    return { method: first, path: second, headers: third };
  }
  throw malformed("a head must be [method, path, headers] or [status, headers]");
}

function isHeaderList(value: unknown): value is HeaderList {
  if (!Array.isArray(value)) return false;
  for (const pair of value) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string")
      return false;
  }
  return true;
}

function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString("utf8"));
  } catch {
    throw malformed("malformed JSON in a frame");
  }
}

function malformed(message: string): NfrxError {
  return new NfrxError("protocol", message);
}
