const LF = 0x0a;
const CR = 0x0d;

/** Watches an event stream pass by: whether it stands between two events, and how long they are. */
export class SseEventBoundary {
  #between = true;
  /** Bytes since the last event ended. */
  #length = 0;
  #last = 0;
  /** LF CR has ended an event, and an LF may still belong to it. */
  #open = false;

  /** True while nothing of an event has passed that has not ended: lines end with LF, CR LF or CR, events with an empty one. */
  get between(): boolean {
    return this.#between;
  }

  /** Takes the next bytes; the length of the longest event that ended in them or goes on after them. */
  feed(bytes: Uint8Array): number {
    let longest = 0;
    let length = this.#length;
    let last = this.#last;
    let open = this.#open;
    let ended = this.#between;
    for (let at = 0; at < bytes.length; at++) {
      const byte = bytes[at]!;
      length++;
      ended = byte === LF ? last === LF || open : byte === CR && (last === LF || last === CR);
      open = byte === CR && last === LF;
      if (ended) {
        longest = Math.max(longest, length);
        length = 0;
      }
      last = byte;
    }
    this.#between = ended && !open;
    this.#length = length;
    this.#last = last;
    this.#open = open;
    return Math.max(longest, length);
  }
}
