/** Number of callers whose turns are remembered before those without queued requests are dropped. */
const CALLERS_MAX = 10_000;

/** A queued request. */
export interface Waiting {
  /** Requests of one caller take turns with those of the others. */
  caller: string;
}

/** A request's place among the others: fixed when it first waits, kept when it has to wait again. */
export interface QueueTicket {
  round: number;
  order: number;
}

/**
 * Who waits, in the order in which they are served. Callers take turns by rounds (start-time fair queueing): a caller's
 * next request waits one round after its last, so the first request of a quiet caller stands before the second of a busy
 * one. Within a round and for one caller it is first come, first served. Whoever asks `scan` may pass over an entry
 * that cannot run now.
 */
export class FairQueue<E extends Waiting> {
  readonly #entries: { entry: E; ticket: QueueTicket }[] = [];
  /** Not a BoundedMap: a caller that waits must keep its round; those whose round is over make room. */
  readonly #lastRound = new Map<string, number>();
  #round = 0;
  #order = 0;
  #returned = 0;

  constructor(readonly capacity: number) {}

  get length(): number {
    return this.#entries.length;
  }

  get full(): boolean {
    return this.#entries.length >= this.capacity;
  }

  /** Puts an entry in its place; `ticket` is the one it had before, if it has waited already. */
  add(entry: E, ticket?: QueueTicket): QueueTicket {
    const mine = ticket ?? { round: this.#nextRound(entry.caller), order: this.#order++ };
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(mine, this.#entries[middle]!.ticket)) high = middle;
      else low = middle + 1;
    }
    this.#entries.splice(low, 0, { entry, ticket: mine });
    return mine;
  }

  /** The place before all others of this round, for an entry that had its turn and comes back. */
  front(): QueueTicket {
    return { round: this.#round, order: --this.#returned };
  }

  remove(entry: E): boolean {
    const at = this.#entries.findIndex(place => place.entry === entry);
    if (at < 0) return false;
    this.#take(at);
    return true;
  }

  /** The 1-based position of an entry, 0 when it does not wait. */
  position(entry: E): number {
    return this.place(other => other === entry);
  }

  /** The 1-based position of the first entry that is meant, 0 when none is. */
  place(meant: (entry: E) => boolean): number {
    return this.#entries.findIndex(({ entry }) => meant(entry)) + 1;
  }

  /** The first entries, in their order. */
  first(max: number): E[] {
    return this.#entries.slice(0, max).map(({ entry }) => entry);
  }

  /** Offers every entry in order; one for which `serve` answers true leaves the queue, another is passed over. */
  scan(serve: (entry: E) => boolean): void {
    for (let at = 0; at < this.#entries.length; ) {
      const place = this.#entries[at]!;
      if (serve(place.entry)) {
        this.#round = Math.max(this.#round, place.ticket.round);
        this.#take(at);
      } else {
        at++;
      }
    }
  }

  #take(at: number): void {
    this.#entries.splice(at, 1);
    if (this.#entries.length === 0) this.#lastRound.clear();
    else if (this.#lastRound.size > CALLERS_MAX) this.#forgetQuiet();
  }

  /** Drops callers whose last round has passed: they would start at the current one anyway. */
  #forgetQuiet(): void {
    for (const [caller, round] of this.#lastRound) if (round < this.#round) this.#lastRound.delete(caller);
  }

  #nextRound(caller: string): number {
    const last = this.#lastRound.get(caller);
    const round = last === undefined ? this.#round : Math.max(this.#round, last + 1);
    this.#lastRound.set(caller, round);
    return round;
  }
}

function before(a: QueueTicket, b: QueueTicket): boolean {
  return a.round !== b.round ? a.round < b.round : a.order < b.order;
}
