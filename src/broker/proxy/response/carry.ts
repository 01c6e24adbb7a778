// Converts responses for an event stream that is already open.

import { asText } from "../../../lib/bytes.ts";
import { NfrxError } from "../../../lib/errors.ts";
import { contentOf, hasContentType, headerOf } from "../../../lib/http.ts";
import type { EventStreamApi } from "../../../modules/module.ts";
import type { ResponseHead } from "../../../protocol/frames.ts";
import type { WorkerAnswer } from "../dispatch.ts";
import { type ByteSource, decoded } from "./decode.ts";
import { type Failure, messageIn } from "./stream-error.ts";

/** Maximum size of a backend's error inside an error event, in bytes. */
const ERROR_BYTES = 64 * 1024;
/** Maximum size of a complete response that is converted to events, in bytes. */
const WHOLE_ANSWER_BYTES = 4 * 1024 * 1024;
/** Bytes that are inspected to detect an event stream without the right content type. */
const SIGN_BYTES = 16;

/** The events of an answer, with the head that belongs to them. */
export interface Events {
  head: ResponseHead;
  source: ByteSource;
}

/**
 * The answer as events: out of its encoding, and in the events of `api` when the backend has answered whole. Otherwise why
 * it cannot be carried. `onBytes` runs whenever some of it has come.
 */
export async function carry(
  { head, stream }: WorkerAnswer,
  api: EventStreamApi | undefined,
  onBytes: () => void,
): Promise<Events | Failure> {
  const source = decoded(stream, headerOf(head.headers, "content-encoding"));
  if (head.status === 200 && hasContentType(head.headers, "text/event-stream")) return { head: asEvents(head), source };
  let start: Uint8Array = new Uint8Array(0);
  if (head.status === 200) {
    start = await readUntil(source, SIGN_BYTES, onBytes, start, looksLikeEvents);
    if (looksLikeEvents(start)) return { head: asEvents(head), source: after(start, source) };
  }
  const most = head.status === 200 ? WHOLE_ANSWER_BYTES : ERROR_BYTES;
  const body = await readUntil(source, most + 1, onBytes, start);
  if (head.status !== 200) return refusal(head, body.length > most ? "" : asText(body));
  if (body.length > most)
    throw new NfrxError(
      "upstream_error",
      `the backend did not respond with events, and its response exceeds the limit of an event, ${most} bytes`,
    );
  const contentType = contentOf(head.headers).type;
  const events = api?.toEvents?.({ contentType, text: asText(body) });
  if (events !== undefined) return { head: asEvents(head), source: after(Buffer.from(events)) };
  // Some servers report errors with status 200.
  const text = messageIn(asText(body)) === undefined ? "" : asText(body);
  const type = contentType === "" ? "no content type" : contentType;
  const failure = new NfrxError("upstream_error", `the backend responded to a request for events with ${type}`);
  return { failure, status: 502, text };
}

/** True for the beginning of an event stream: a field, or a comment. */
function looksLikeEvents(start: Uint8Array): boolean {
  return /^\s*(?:data|event|id|retry)?:/.test(asText(start.subarray(0, SIGN_BYTES)));
}

/** The head of the events that an answer is made of. */
function asEvents(head: ResponseHead): ResponseHead {
  const others = head.headers.filter(([name]) => !OWN.has(name.toLowerCase()));
  return { status: head.status, headers: [...others, ["content-type", "text/event-stream"]] };
}

const OWN: ReadonlySet<string> = new Set(["content-type", "content-encoding", "content-length"]);

/** A response with another status is an error if events were requested. */
function refusal({ status, headers }: ResponseHead, text: string): Failure {
  const plain = contentOf(headers).type === "text/plain" && text.trim() !== "" ? text.trim() : undefined;
  const message = messageIn(text) ?? plain;
  const code = status === 400 || status === 422 ? "invalid_request" : "upstream_error";
  const failure = new NfrxError(code, message ?? `the backend responded with status ${status}`, {
    foreign: message !== undefined,
  });
  return { failure, status, text };
}

/** Reads on from `start` until `most` bytes are there, or enough of them, or all. */
async function readUntil(
  source: ByteSource,
  most: number,
  onBytes: () => void,
  start: Uint8Array,
  enough: (start: Uint8Array) => boolean = () => false,
): Promise<Uint8Array> {
  const chunks = [start];
  let length = start.length;
  while (length < most && !enough(chunks.at(-1) ?? start)) {
    const bytes = await source.read();
    if (bytes === null) break;
    onBytes();
    chunks.push(bytes);
    length += bytes.length;
  }
  return chunks.length === 1 ? start : Buffer.concat(chunks, length);
}

/** The bytes of `start`, and then those of `rest`. */
function after(start: Uint8Array, rest?: ByteSource): ByteSource {
  let first: Uint8Array | undefined = start;
  return {
    get buffered() {
      return (first?.length ?? 0) + (rest?.buffered ?? 0);
    },
    async read() {
      const bytes = first;
      first = undefined;
      if (bytes !== undefined && bytes.length > 0) return bytes;
      return rest === undefined ? null : rest.read();
    },
  };
}
