import type { NfrxError } from "../lib/errors.ts";
import type { Stream } from "./stream.ts";

/** One end's part of the wire. */
export interface McpV1Half {
  turn(stream: Stream): void;
  reset(stream: Stream, error: NfrxError): void;
  forget(stream: Stream): void;
  beat(now: number): void;
  /** Takes a frame of this kind, with the text it was read from. */
  receive(kind: string, frame: object, text: string): void;
}
