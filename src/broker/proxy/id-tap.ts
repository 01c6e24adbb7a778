// The ids of what a worker keeps, out of its answers as they pass by.
import { asText } from "../../lib/bytes.ts";
import { TopLevelScan } from "../../lib/json-scan.ts";

/** Bytes at the beginning of an event stream in which the id of its response is looked for. */
const ID_EVENT_BYTES = 256 * 1024;

export interface IdTap {
  feed(bytes: Uint8Array): void;
}

/** Hands on the id under `member` of a JSON answer, or of the `response` in the first event that has one. */
export function idTap(member: string, events: boolean, onFound: (id: string) => void): IdTap {
  return events ? new EventIdTap(member, onFound) : new JsonIdTap(member, onFound);
}

class JsonIdTap implements IdTap {
  readonly #scan: TopLevelScan;
  #found = false;

  constructor(
    private readonly member: string,
    private readonly onFound: (id: string) => void,
  ) {
    this.#scan = new TopLevelScan(new Set([member]));
  }

  feed(bytes: Uint8Array): void {
    if (this.#found) return;
    this.#scan.feed(bytes);
    const id = this.#scan.values.get(this.member);
    if (typeof id !== "string") return;
    this.#found = true;
    this.onFound(id);
  }
}

/** Keeps the bytes of one event at a time, until an event has the id. */
class EventIdTap implements IdTap {
  #text = "";
  #seen = 0;
  #done = false;

  constructor(
    private readonly member: string,
    private readonly onFound: (id: string) => void,
  ) {}

  feed(bytes: Uint8Array): void {
    if (this.#done) return;
    this.#seen += bytes.length;
    this.#text += asText(bytes);
    if (this.#seen <= ID_EVENT_BYTES && !bytes.includes(LINE_FEED)) return;
    for (let end = /\r?\n\r?\n/.exec(this.#text); end !== null && !this.#done; end = /\r?\n\r?\n/.exec(this.#text)) {
      this.#look(this.#text.slice(0, end.index));
      this.#text = this.#text.slice(end.index + end[0].length);
    }
    if (this.#seen > ID_EVENT_BYTES) this.#done = true;
    if (this.#done) this.#text = "";
  }

  #look(event: string): void {
    const data = event
      .split(/\r?\n/)
      .filter(line => line.startsWith("data:"))
      .map(line => line.slice("data:".length))
      .join("\n");
    if (!data.includes('"response"')) return;
    try {
      const id = memberOf(memberOf(JSON.parse(data), "response"), this.member);
      if (typeof id !== "string") return;
      this.#done = true;
      this.onFound(id);
    } catch {
      // not JSON: the next event may be
    }
  }
}

const LINE_FEED = 0x0a;

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
