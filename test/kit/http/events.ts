import { until } from "../time/until.ts";

/** One block of an event stream: an event, or comments alone. */
export interface StreamEvent {
  /** The `event:` field, "" when there is none. */
  event: string;
  /** The `data:` fields, joined by line feeds. */
  data: string;
  comments: string[];
  raw: string;
}

/** Reads a response as an event stream, one event at a time. */
export class Events {
  readonly #reader: { read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>; cancel(): Promise<void> };
  readonly #decoder = new TextDecoder();
  #rest = "";
  /** Everything that has arrived. */
  text = "";
  /** The stream has ended as it should. */
  ended = false;

  constructor(response: Response) {
    if (response.body === null) throw new Error("an answer without a body");
    this.#reader = response.body.getReader();
  }

  /** The next event; undefined at the end of the stream. Rejects when the connection is cut. */
  async next(): Promise<StreamEvent | undefined> {
    for (;;) {
      const end = /\r?\n\r?\n/.exec(this.#rest);
      if (end !== null) {
        const raw = this.#rest.slice(0, end.index);
        this.#rest = this.#rest.slice(end.index + end[0].length);
        if (raw !== "") return parse(raw);
        continue;
      }
      const { done, value } = await until(this.#reader.read(), () => `the next event, after ${this.text.slice(-300)}`);
      if (done) {
        this.ended = true;
        return undefined;
      }
      const text = this.#decoder.decode(value, { stream: true });
      this.text += text;
      this.#rest += text;
    }
  }

  /** Every event up to the end of the stream. */
  async all(): Promise<StreamEvent[]> {
    const events: StreamEvent[] = [];
    for (let event = await this.next(); event !== undefined; event = await this.next()) events.push(event);
    return events;
  }

  /** The next event for which `holds`; those before it are passed over. */
  async find(holds: (event: StreamEvent) => boolean): Promise<StreamEvent> {
    for (let event = await this.next(); event !== undefined; event = await this.next()) if (holds(event)) return event;
    throw new Error(`the stream ended without it: ${this.text}`);
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

function parse(raw: string): StreamEvent {
  const event: StreamEvent = { event: "", data: "", comments: [], raw };
  const data: string[] = [];
  for (const line of raw.split(/\r?\n/)) {
    const [, name = "", value = ""] = /^([^:]*): ?(.*)$/.exec(line) ?? [];
    if (name === "event") event.event = value;
    else if (name === "data") data.push(value);
    else if (name === "") event.comments.push(value);
  }
  event.data = data.join("\n");
  return event;
}
