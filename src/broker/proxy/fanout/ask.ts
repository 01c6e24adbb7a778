// One whole question to one worker and its whole answer, for requests that are made of several.

import { NfrxError, toNfrxError } from "../../../lib/errors.ts";
import type { HeaderPairs } from "../../../lib/http.ts";
import type { Span } from "../../../lib/trace.ts";
import type { RequestHead, ResponseHead } from "../../../protocol/frames.ts";
import type { Slot } from "../../pool/slot.ts";
import { Attempt, type AttemptContext } from "../attempt.ts";

export interface Question {
  slot: Slot;
  head: RequestHead;
  body?: Uint8Array;
  /** Gives the question up. */
  signal: AbortSignal;
  /** Called with the response head. */
  onHead?: (head: ResponseHead) => void;
  /** Called with every chunk of the response; throws to reject it. */
  onBytes: (length: number) => void;
  /** The span of the request that it is for. */
  parent: Span | undefined;
}

/** Sends a query and waits for the end of the response. The slot is always released. */
export async function askWhole(
  { slot, head, body, signal, onHead, onBytes, parent }: Question,
  context: AttemptContext,
): Promise<{ head: ResponseHead; body: Uint8Array }> {
  const attempt = new Attempt(slot, { ...head, headers: readable(head.headers) }, context, { parent });
  const onAbort = (): void => attempt.giveUp(new NfrxError("canceled", "the request has ended"));
  signal.addEventListener("abort", onAbort);
  let failure: NfrxError | undefined;
  try {
    const { stream } = attempt;
    stream.end(body);
    const answer = attempt.answered(await stream.head());
    onHead?.(answer);
    const chunks: Uint8Array[] = [];
    for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
      attempt.touch();
      onBytes(bytes.length);
      chunks.push(bytes);
    }
    return { head: answer, body: Buffer.concat(chunks) };
  } catch (thrown) {
    failure = toNfrxError(thrown);
    throw thrown;
  } finally {
    signal.removeEventListener("abort", onAbort);
    attempt.end(failure);
  }
}

/** The answer is read here, so it must not come in an encoding that only the client knows. */
function readable(headers: HeaderPairs): HeaderPairs {
  return headers.filter(([name]) => name !== "accept-encoding");
}
