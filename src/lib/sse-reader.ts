import { createParser, type EventSourceParser } from "eventsource-parser";
import { NfrxError } from "./errors.ts";

/** Reads server-sent events from a byte stream. */
export class EventReader {
  readonly #decoder = new TextDecoder();
  readonly #parser: EventSourceParser;

  constructor(
    /** Characters of one event that has not ended; a longer one makes `feed` throw. */
    limit: number,
    onEvent: (data: string, name: string) => void,
  ) {
    this.#parser = createParser({
      maxBufferSize: limit,
      onEvent: ({ data, event = "message" }) => onEvent(data, event),
      onError: ({ type }) => {
        if (type === "max-buffer-size-exceeded")
          throw new NfrxError("too_large", `an event of more than ${limit} characters`);
      },
    });
  }

  feed(bytes: Uint8Array): void {
    this.#parser.feed(this.#decoder.decode(bytes, { stream: true }));
  }
}
