// The numbers that OpenAI's Responses API gives its events.
import { asBuffer } from "../../../lib/bytes.ts";

const KEY = Buffer.from('"sequence_number"');
/** Characters after the key that are searched for its number. */
const NUMBER_CHARS = 32;

/** Finds the number of the event that would come next in a stream that passes by. */
export class SequenceScan {
  #next = 0;

  get next(): number {
    return this.#next;
  }

  feed(bytes: Uint8Array): void {
    const buffer = asBuffer(bytes);
    const at = buffer.lastIndexOf(KEY);
    if (at === -1) return;
    const behind = buffer.toString("latin1", at + KEY.length, at + KEY.length + NUMBER_CHARS);
    const number = /^\s*:\s*(\d{1,15})/.exec(behind)?.[1];
    if (number !== undefined) this.#next = Number(number) + 1;
  }
}
