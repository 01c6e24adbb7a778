// Reads the IDs of stored items from responses as they pass.
import { TopLevelScan } from "../../../lib/json-scan.ts";
import { EventReader } from "../../../lib/sse-reader.ts";

/** Bytes at the start of an event stream that are searched for the response ID. */
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

/** Reads events until one has the id. */
class EventIdTap implements IdTap {
  #reader: EventReader | undefined = new EventReader(ID_EVENT_BYTES, data => this.#look(data));
  #seen = 0;

  constructor(
    private readonly member: string,
    private readonly onFound: (id: string) => void,
  ) {}

  feed(bytes: Uint8Array): void {
    this.#seen += bytes.length;
    if (this.#seen > ID_EVENT_BYTES) this.#reader = undefined;
    this.#reader?.feed(bytes);
  }

  #look(data: string): void {
    if (this.#reader === undefined || !data.includes('"response"')) return;
    try {
      const id = memberOf(memberOf(JSON.parse(data), "response"), this.member);
      if (typeof id !== "string") return;
      this.#reader = undefined;
      this.onFound(id);
    } catch {
      // not JSON: the next event may be
    }
  }
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
