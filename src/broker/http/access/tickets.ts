// Short-lived tickets for streams of events: a browser's EventSource cannot send a key.
import { sha256 } from "../../../lib/digest.ts";
import type { Clock } from "../../../lib/time.ts";
import type { Principal } from "../../../modules/route.ts";
import { Shares } from "./shares.ts";

/** Lifetime of a ticket, in milliseconds. A stream that is open by then stays open. */
export const TICKET_MS = 60_000;
/** Maximum number of valid tickets. */
export const TICKETS_MAX = 10_000;
/** Bytes of chance in a ticket. */
const TICKET_BYTES = 32;

/** A ticket: read access to one path with the rights of its creator. */
export interface Ticket {
  readonly path: string;
  readonly maker: Principal;
}

interface Kept extends Ticket {
  readonly expiresAt: number;
  /** Gives its caller's share back. */
  readonly release: () => void;
}

/** The valid tickets, by the digests of their texts: stored data grants no access. */
export class Tickets {
  /** The one that expires first comes first. Not a BoundedMap: when it is full, a new ticket is refused, no valid one dropped. */
  readonly #kept = new Map<string, Kept>();
  readonly #shares = new Shares(TICKETS_MAX, "tickets");

  constructor(private readonly clock: Clock) {}

  /** A new ticket. Throws `overloaded` when there are too many, `limit_exceeded` when the caller has its share. */
  issue(ticket: Ticket): { text: string; expiresAt: number } {
    const now = this.clock.now();
    for (const [digest, { expiresAt, release }] of this.#kept) {
      if (expiresAt > now) break;
      this.#kept.delete(digest);
      release();
    }
    const release = this.#shares.take(ticket.maker.caller);
    const text = Buffer.from(crypto.getRandomValues(new Uint8Array(TICKET_BYTES))).toString("base64url");
    this.#kept.set(digestOf(text), { ...ticket, expiresAt: now + TICKET_MS, release });
    return { text, expiresAt: this.clock.wall() + TICKET_MS };
  }

  /** The valid ticket of a request for exactly this path. */
  of({ method, url }: Request): Ticket | undefined {
    if (method !== "GET" || !url.includes("ticket=")) return undefined;
    const { pathname, searchParams } = new URL(url);
    const text = searchParams.get("ticket");
    const ticket = text === null ? undefined : this.#kept.get(digestOf(text));
    return ticket?.path === pathname && this.clock.now() < ticket.expiresAt ? ticket : undefined;
  }
}

function digestOf(text: string): string {
  return sha256(text).toString("base64url");
}
