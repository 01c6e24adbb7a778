import { BoundedMap } from "../../lib/bounded-map.ts";
import type { Clock } from "../../lib/time.ts";

/** Callers whose use of slots is remembered; beyond it the one that used none for longest is forgotten. */
const QUEUE_CALLERS_MAX = 10_000;
/** Milliseconds after which half of what a caller has used is forgotten. */
export const QUEUE_HALF_LIFE_MS = 600_000;
/** Milliseconds without a request after which everything is forgotten that a caller has used. */
const QUEUE_MEMORY_MS = 3_600_000;
/** The weight of callers that have no other. */
export const USUAL_WEIGHT = 10;
/** Expected slot time of a request before any has ended, in milliseconds. */
const FIRST_ESTIMATE_MS = 1_000;
/** Minimum that each request counts, in milliseconds, so that callers with very short requests take turns, too. */
const LEAST_MS = 10;
/** How much of the estimate each request that ends replaces. */
const ESTIMATE_GAIN = 0.1;

/** The turn of a request: its caller and the caller's weight. */
export interface Turn {
  readonly caller: string;
  /** The caller's part of the slots: one with twice the weight may use twice as much. */
  readonly weight: number;
  /** The caller is beyond a soft limit: everybody else's requests come first. */
  readonly behind: boolean;
}

/** The turn of a caller without a weight or limits of its own. */
export function usualTurn(caller: string): Turn {
  return { caller, weight: USUAL_WEIGHT, behind: false };
}

/** A queued request. */
export interface Waiting {
  readonly turn: Turn;
}

/** A request's place among those of its caller: kept when it has to wait again. */
export interface QueueTicket {
  readonly order: number;
  /** It has been served once: when it comes back, it comes before those that have not. */
  served?: true;
}

interface Place<E> {
  readonly entry: E;
  readonly ticket: QueueTicket;
}

/** One caller's requests, in the order in which they came. */
type Line<E> = Place<E>[];

/**
 * The requests that wait. The next turn is the caller's that has used the fewest slot-seconds lately, divided by its weight;
 * what its running requests are expected to use counts already. Of one caller's requests the first comes first. The function
 * given to `scan` may pass over an entry that cannot run now.
 */
export class FairQueue<E extends Waiting> {
  readonly #lines = new Map<string, Line<E>>();
  readonly #used: BoundedMap<{ readonly ms: number; readonly at: number }>;
  #length = 0;
  #order = 0;
  #returned = 0;
  #estimateMs = FIRST_ESTIMATE_MS;

  constructor(
    readonly capacity: number,
    private readonly clock: Pick<Clock, "now">,
  ) {
    this.#used = new BoundedMap(QUEUE_CALLERS_MAX, { clock, ms: QUEUE_MEMORY_MS });
  }

  get length(): number {
    return this.#length;
  }

  get full(): boolean {
    return this.#length >= this.capacity;
  }

  /** Puts an entry in its place; `ticket` is the one it had before, if it has waited already. */
  add(entry: E, ticket: QueueTicket = { order: this.#order++ }): QueueTicket {
    const line = this.#lines.get(entry.turn.caller);
    const place = { entry, ticket };
    if (line === undefined) this.#lines.set(entry.turn.caller, [place]);
    else {
      const at = line.findLastIndex(other => other.ticket.order < ticket.order);
      line.splice(at + 1, 0, place);
    }
    this.#length++;
    return ticket;
  }

  /** The place before all others, for an entry that had its turn and comes back. */
  front(): QueueTicket {
    return { order: --this.#returned, served: true };
  }

  remove(entry: E): boolean {
    const line = this.#lines.get(entry.turn.caller) ?? [];
    const at = line.findIndex(place => place.entry === entry);
    if (at < 0) return false;
    this.#take(entry.turn.caller, line, at);
    return true;
  }

  /**
   * The entry that gives way to a new one of `caller` when the queue is full: the newest of the caller with most entries.
   * Undefined when that is the new one itself.
   */
  victimFor(caller: string): E | undefined {
    let longest: Line<E> = [];
    for (const line of this.#lines.values()) if (line.length > longest.length) longest = line;
    const mine = this.#lines.get(caller)?.length ?? 0;
    return mine + 1 >= longest.length ? undefined : longest.at(-1)?.entry;
  }

  /** The 1-based position of an entry, 0 when it does not wait. */
  position(entry: E): number {
    return this.place(other => other === entry);
  }

  /** The 1-based position of the first entry that is meant, 0 when none is. */
  place(meant: (entry: E) => boolean): number {
    return this.first(this.#length).findIndex(meant) + 1;
  }

  /** The first entries in the order of their turns, as far as that is known now. */
  first(max: number): E[] {
    const keyed = this.#lanes().flatMap(({ line, debt }) => {
      let key = debt;
      return line.map(place => {
        const turn = { place, debt: key };
        key += this.#estimateMs / place.entry.turn.weight;
        return turn;
      });
    });
    return keyed
      .sort(compare)
      .slice(0, max)
      .map(({ place }) => place.entry);
  }

  /** Offers every entry in the order of their turns; one for which `serve` answers true leaves the queue, another is passed over. */
  scan(serve: (entry: E) => boolean): void {
    // The lane whose turn it is stands at the end.
    const lanes = this.#lanes().flatMap(lane => {
      const [place] = lane.line;
      return place === undefined ? [] : [{ ...lane, at: 0, place }];
    });
    lanes.sort((a, b) => compare(b, a));
    for (let lane = lanes.pop(); lane !== undefined; lane = lanes.pop()) {
      const { caller, line, place } = lane;
      if (serve(place.entry)) {
        place.ticket.served = true;
        lane.debt += this.#estimateMs / place.entry.turn.weight;
        this.#take(caller, line, line.indexOf(place));
      } else lane.at++;
      const next = line[lane.at];
      if (next === undefined) continue;
      lane.place = next;
      lanes.splice(insertionPoint(lanes, lane), 0, lane);
    }
  }

  /** Counts the slot that a request has got: what it is expected to use. The answer is what `ended` needs. */
  began({ caller, weight }: Turn): number {
    this.#charge(caller, this.#estimateMs / weight);
    return this.#estimateMs;
  }

  /** Counts what a request has really used, instead of what `began` expected. */
  ended({ caller, weight }: Turn, expectedMs: number, usedMs: number): void {
    const counted = Math.max(usedMs, LEAST_MS);
    this.#estimateMs += ESTIMATE_GAIN * (counted - this.#estimateMs);
    this.#charge(caller, (counted - expectedMs) / weight);
  }

  #lanes(): { caller: string; line: Line<E>; debt: number }[] {
    const now = this.clock.now();
    return [...this.#lines].map(([caller, line]) => ({ caller, line, debt: this.#debtOf(caller, now) }));
  }

  #take(caller: string, line: Line<E>, at: number): void {
    line.splice(at, 1);
    if (line.length === 0) this.#lines.delete(caller);
    this.#length--;
  }

  #debtOf(caller: string, now: number): number {
    const used = this.#used.get(caller);
    return used === undefined ? 0 : used.ms * 0.5 ** ((now - used.at) / QUEUE_HALF_LIFE_MS);
  }

  #charge(caller: string, ms: number): void {
    const now = this.clock.now();
    this.#used.set(caller, { ms: Math.max(0, this.#debtOf(caller, now) + ms), at: now });
  }
}

interface Keyed<E extends Waiting> {
  readonly place: Place<E>;
  readonly debt: number;
}

/** Those within their limits first, then who has used less, then who came first. */
function compare<E extends Waiting>(a: Keyed<E>, b: Keyed<E>): number {
  const behind = Number(a.place.entry.turn.behind) - Number(b.place.entry.turn.behind);
  const back = Number(b.place.ticket.served ?? false) - Number(a.place.ticket.served ?? false);
  return behind || back || a.debt - b.debt || a.place.ticket.order - b.place.ticket.order;
}

/** Where a lane belongs among those whose turn comes later, which stand before it. */
function insertionPoint<E extends Waiting>(lanes: readonly Keyed<E>[], lane: Keyed<E>): number {
  let low = 0;
  let high = lanes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = lanes[middle];
    if (other !== undefined && compare(other, lane) > 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
