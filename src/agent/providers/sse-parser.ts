import { LineFramer, type Overlong } from "./channels/framer.ts";

/**
 * Reads an event stream. An event's data may span lines; one with more than `limit` bytes is dropped, and told of by what
 * its longest line was.
 */
export class SseParser {
  readonly #framer: LineFramer;
  #name = "";
  #data: string[] = [];
  #length = 0;
  #dropped = false;

  constructor(
    private readonly limit: number,
    private readonly onEvent: (name: string, data: string) => void,
    onOverlong: (line: Overlong) => void,
  ) {
    this.#framer = new LineFramer(
      limit,
      line => this.#line(line),
      line => {
        this.#dropped = true;
        onOverlong(line);
      },
      true,
    );
  }

  push(chunk: Uint8Array): void {
    this.#framer.push(chunk);
  }

  #line(line: string): void {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#name = value;
    if (field !== "data" || this.#dropped) return;
    this.#length += value.length;
    if (this.#length > this.limit) this.#dropped = true;
    else this.#data.push(value);
  }

  #dispatch(): void {
    const [name, data, dropped] = [this.#name, this.#data, this.#dropped];
    this.#name = "";
    this.#data = [];
    this.#length = 0;
    this.#dropped = false;
    if (data.length > 0 && !dropped) this.onEvent(name === "" ? "message" : name, data.join("\n"));
  }
}
