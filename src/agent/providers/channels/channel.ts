import type { Message } from "./message.ts";

/** Events of a channel. */
export interface ChannelEvents {
  /** One message of the server, in the order it wrote them. */
  message(message: Message): void;
  /** A response that was too long; its ID as JSON, if readable. */
  overlong(id: string | undefined): void;
  /** The channel has ended, reported once with the reason, also after `close`. */
  ended(reason: string): void;
}

/** The way to one server: a child process, or a connection of the 2024 transport. One line of JSON is one message. */
export interface Channel {
  /** Sends one line; lines keep their order. Throws `overloaded` when too much waits already, `upstream_error` when it is over. */
  send(line: string): void;
  /** Reads nothing more until `resume`, so that a slow client slows its server down. */
  pause(): void;
  resume(): void;
  /** Ends it. Resolves when nothing of it is left, which is bounded in time. */
  close(): Promise<void>;
  /** Ends it now, without waiting: for the last moment of the process. */
  kill(): void;
}

/** Opens one more channel. Throws an NfrxError when that cannot be done. */
export type OpenChannel = (events: ChannelEvents) => Channel;
