// The interfaces around a link: the socket below, the wire version, the application above.
import type { z } from "zod";
import { NfrxError } from "../lib/errors.ts";
import type { RequestHead } from "./frames.ts";
import type { ControlMessage } from "./messages.ts";
import type { Stream } from "./stream.ts";

/** The WebSocket under a link, at either end. */
export interface Socket {
  /** Sends one message; false when it was dropped, which ends the link. The bytes may be reused at once. */
  send(message: Uint8Array | string): boolean;
  /** Bytes waiting in the socket's own buffer. */
  buffered(): number;
  close(code: number, reason: string): void;
  /** Cuts the connection without a farewell. */
  terminate(): void;
  /** Sends a WebSocket ping; the pong is reported through `ponged`. */
  ping(): void;
}

/** The differences between the wire versions. A link drives one; applications never see it. */
export interface Wire {
  readonly version: 1 | 2;
  /** Silence after which the peer counts as dead. */
  readonly deadMs: number;
  /** Initial window of a stream; without flow control, the buffer limit. */
  readonly bufferLimit: number;
  /** Credit a new stream starts with. */
  readonly initialCredit: number;
  /** Sends part of a stream's data; `shared`: others are waiting. Returns false if the whole connection must wait. */
  turn(stream: Stream, shared: boolean): boolean;
  /** Sends the batch. */
  flush(): void;
  reset(stream: Stream, error: NfrxError): void;
  consumed(stream: Stream, bytes: number): void;
  forget(stream: Stream): void;
  goaway(): void;
  /** Called now and then; sends a ping when one is due. */
  beat(now: number): void;
  receive(message: Uint8Array | string): void;
  /** Encodes a control message; without this it is sent unchanged. */
  control?(message: ControlMessage): void;
}

/** Milliseconds. */
export interface Liveness {
  pingMs: number;
  deadMs: number;
}

export interface LinkEvents {
  /** The peer opened a stream; its head is there. */
  onStream?(stream: Stream, head: RequestHead): void;
  /** A control message, parsed from JSON and not yet checked, and the length of its text. */
  onControl?(message: { type?: unknown }, bytes: number): void;
  /** The peer sent its first message, or answered a ping. Called once, before the message is handled. */
  onMessage?(): void;
  onGoaway?(): void;
  /** The link is over; every stream on it has failed. Called once. */
  onClosed?(code: number, reason: string): void;
}

/** Counters of a link: plain numbers, for readers to display. */
export class LinkStats {
  bytesIn = 0;
  bytesOut = 0;
  messagesIn = 0;
  messagesOut = 0;
  /** Times a stream had bytes to send and no credit. */
  windowStalls = 0;
  /** Times all streams held back for the socket or the connection's window. */
  socketStalls = 0;
  resets = 0;

  add(other: LinkStats): void {
    this.bytesIn += other.bytesIn;
    this.bytesOut += other.bytesOut;
    this.messagesIn += other.messagesIn;
    this.messagesOut += other.messagesOut;
    this.windowStalls += other.windowStalls;
    this.socketStalls += other.socketStalls;
    this.resets += other.resets;
  }
}

/** A control message's text as an object. Throws `protocol` when it is not one, or is longer than `max` bytes. */
export function parseControl(text: string, max?: number): { type?: unknown } {
  if (max !== undefined && text.length > max)
    throw new NfrxError("protocol", `a control message has more than ${max} bytes`);
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    throw new NfrxError("protocol", "a text message is not JSON");
  }
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw new NfrxError("protocol", "a text message must be a JSON object");
  }
  return message;
}

/** Parses a JSON frame. Throws `protocol` if it is malformed. */
export function sound<T>(frame: z.ZodSafeParseResult<T>): T {
  if (frame.success) return frame.data;
  const [issue] = frame.error.issues;
  throw new NfrxError("protocol", `malformed frame: ${issue?.path.join(".")}: ${issue?.message}`);
}
