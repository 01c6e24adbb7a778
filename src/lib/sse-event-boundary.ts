const LF = 0x0a;
const CR = 0x0d;

/** True for a byte that ends a line of an event stream: lines end with LF, CR LF or CR, events with an empty line. */
export function isLineEnd(byte: number): boolean {
  return byte === LF || byte === CR;
}

/** Watches an event stream pass by: where events end, and how long they are. */
export class SseEventBoundary {
  #between = true;
  /** Bytes since the last event ended, as far as `feed` has seen them. */
  #length = 0;
  #last = 0;
  /** LF CR has ended an event, and an LF may still belong to it. */
  #open = false;

  /** True while nothing of an event has passed that has not ended. */
  get between(): boolean {
    return this.#between;
  }

  /** The index after the next event boundary from `from` on; -1 if there is none. */
  next(bytes: Uint8Array, from = 0): number {
    let last = this.#last;
    let open = this.#open;
    let end = -1;
    for (let at = from; at < bytes.length && end === -1; at++) {
      const byte = bytes[at]!;
      if (byte === LF ? last === LF || open : byte === CR && isLineEnd(last)) end = at + 1;
      open = byte === CR && last === LF;
      last = byte;
    }
    if (from < bytes.length) this.#between = end !== -1 && !open;
    this.#last = last;
    this.#open = open;
    return end;
  }

  /** Adds bytes; returns the length of the longest event that ended in them or continues after them. */
  feed(bytes: Uint8Array): number {
    let longest = 0;
    let from = 0;
    for (let end = this.next(bytes); end !== -1; end = this.next(bytes, end)) {
      longest = Math.max(longest, this.#length + end - from);
      this.#length = 0;
      from = end;
    }
    this.#length += bytes.length - from;
    return Math.max(longest, this.#length);
  }
}
