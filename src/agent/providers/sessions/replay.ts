import type { Clock, Timer } from "../../../lib/time.ts";

/** Maximum events that a session stores for clients that resume with Last-Event-ID. */
const REPLAY_EVENTS = 1_000;
/** Maximum size of these events, in bytes; the newest event is stored whatever its size. */
const REPLAY_BYTES = 4 * 1024 * 1024;

/** Time in milliseconds for which these events are stored. */
const REPLAY_MS = 600_000;

interface Kept {
  readonly stream: number;
  readonly count: number;
  readonly bytes: Uint8Array;
  readonly since: number;
}

/** The id of the event that is `count`-th on a stream; 0 is before the first. */
export function eventId(stream: number, count: number): string {
  return `${stream}-${count}`;
}

/** The stream and the count that an event id names, when it is one of ours. */
export function parseEventId(id: string): { stream: number; count: number } | undefined {
  const [, stream, count] = /^(\d{1,15})-(\d{1,15})$/.exec(id) ?? [];
  return stream === undefined ? undefined : { stream: Number(stream), count: Number(count) };
}

/** The last events of all streams of a session, oldest first. */
export class Replay {
  readonly #kept: Kept[] = [];
  #bytes = 0;
  #timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    /** Called for every stream without stored events. */
    private readonly onEmpty: (stream: number) => void,
  ) {}

  add(stream: number, count: number, bytes: Uint8Array): void {
    this.#kept.push({ stream, count, bytes, since: this.clock.now() });
    this.#bytes += bytes.length;
    while (this.#kept.length > REPLAY_EVENTS || (this.#bytes > REPLAY_BYTES && this.#kept.length > 1)) this.#evict();
    this.#watch();
  }

  clear(): void {
    this.#timer?.cancel();
    this.#kept.length = this.#bytes = 0;
  }

  has(stream: number): boolean {
    return this.#kept.some(event => event.stream === stream);
  }

  /** The stored events of a stream after its `count`-th, in order; earlier ones may be missing. */
  after(stream: number, count: number): readonly Kept[] {
    return this.#kept.filter(event => event.stream === stream && event.count > count);
  }

  /** Drops old events periodically. */
  #watch(): void {
    const oldest = this.#kept[0];
    if (this.#timer !== undefined || oldest === undefined) return;
    const dropOld = (): void => {
      this.#timer = undefined;
      const since = this.clock.now() - REPLAY_MS;
      while ((this.#kept[0]?.since ?? since + 1) <= since) this.#evict();
      this.#watch();
    };
    this.#timer = this.clock.after(oldest.since + REPLAY_MS - this.clock.now(), dropOld, true);
  }

  #evict(): void {
    const oldest = this.#kept.shift();
    if (oldest === undefined) return;
    this.#bytes -= oldest.bytes.length;
    if (!this.has(oldest.stream)) this.onEmpty(oldest.stream);
  }
}
