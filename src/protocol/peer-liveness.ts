import { type Clock, every, type Timer } from "../lib/time.ts";

/** Interval at which a link checks its peer's silence, in milliseconds. */
const BEAT_MS = 2_500;

export interface PeerLivenessOptions {
  clock: Clock;
  /** Sends a WebSocket ping. */
  ping: () => void;
  /** Milliseconds between pings, where they are set. */
  pingMs: number | undefined;
  /** Silence after which the peer counts as dead. */
  deadMs: number;
  /** The peer has sent its first message or pong. Called once, before that is handled. */
  onMessage: () => void;
  /** Called now and then while the peer is alive. */
  onBeat: (now: number) => void;
  onDead: () => void;
}

/** Tracks a peer's silence, and whether it answers pings. */
export class PeerLiveness {
  readonly #options: PeerLivenessOptions;
  readonly #beat: Timer;
  /** Called with the next pong, or when the link is over. */
  readonly #probes = new Set<(alive: boolean) => void>();
  #lastMessageAt: number;
  #known = false;
  /** A pong for `requestPong` is pending. */
  #requested = false;

  constructor(options: PeerLivenessOptions) {
    const { clock, pingMs = BEAT_MS } = options;
    this.#options = options;
    this.#lastMessageAt = clock.now();
    this.#beat = every(clock, Math.min(BEAT_MS, pingMs), () => this.#onBeat());
  }

  /** Milliseconds since the peer's last message or pong. */
  get silentMs(): number {
    return this.#options.clock.now() - this.#lastMessageAt;
  }

  /** A message has come. */
  sawMessage(): void {
    this.#lastMessageAt = this.#options.clock.now();
    if (this.#known) return;
    this.#known = true;
    this.#options.onMessage();
  }

  /** A pong has come. */
  ponged(): void {
    this.sawMessage();
    this.#requested = false;
    for (const settle of this.#probes) settle(true);
  }

  /** Pings the peer, unless a pong is on its way that was requested here. */
  requestPong(): void {
    if (this.#requested) return;
    this.#requested = true;
    this.#options.ping();
  }

  /** Pings the peer: resolves to true if it answers within `ms`, to false if it does not or the link has ended. */
  answers(ms: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const settle = (alive: boolean): void => {
      timer.cancel();
      this.#probes.delete(settle);
      resolve(alive);
    };
    const timer = this.#options.clock.after(ms, () => settle(false));
    this.#probes.add(settle);
    this.#options.ping();
    return promise;
  }

  /** The link is over. */
  close(): void {
    this.#beat.cancel();
    for (const settle of this.#probes) settle(false);
  }

  #onBeat(): void {
    const { clock, deadMs, onDead, onBeat } = this.#options;
    if (this.silentMs >= deadMs) onDead();
    else onBeat(clock.now());
  }
}
