import type { RequestHead } from "../../protocol/frames.ts";
import type { Stream } from "../../protocol/stream.ts";
import type { LinkStats } from "../../protocol/wire.ts";

/** The path to a worker's agent, by its abilities. The wire version is in the worker's record, for display only. */
export interface Upstream {
  /** False while it must get no new requests. */
  readonly routable: boolean;
  /** A request body of unknown length can follow its head; otherwise the agent gets it whole. */
  readonly canStreamUnknownLength: boolean;
  /** Maximum size of a request body, in bytes. */
  readonly maxBody: number;
  /** Open streams. */
  readonly streams: number;
  readonly stats: LinkStats;
  /** Opens a stream and sends its request head. Throws `refused` if it accepts no more streams. */
  open(head: RequestHead, end?: boolean): Stream;
  /** Resolves to true if the agent responds within `ms`. */
  answers(ms: number): Promise<boolean>;
  /** Ends the connection; open streams fail with `link_lost`. */
  close(code: number, reason: string): void;
}
