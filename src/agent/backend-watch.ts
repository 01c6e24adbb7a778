import { messageOf } from "../lib/errors.ts";
import type { Clock, Timer } from "../lib/time.ts";
import type { ProbeResult } from "../modules/module.ts";
import { MODELS_MAX } from "../protocol/limits.ts";
import type { BackendAdapter } from "./backend-adapter.ts";
import { isUnreachable } from "./forward.ts";

/** Interval between checks of an unavailable backend, in milliseconds. */
const AWAY_MS = 2_000;
/** Minimum interval between two checks of a backend, in milliseconds. */
const LOOK_GAP_MS = 250;
/**
 * Time in milliseconds after the last byte of a response for which a backend counts as alive, even if the check fails.
 */
export const ANSWERING_MS = 30_000;

export type BackendState = ({ ready: true } & ProbeResult) | { ready: false; reason: string };

/** Checks the backend periodically, and reports every change. */
export class BackendWatch {
  #state: BackendState = { ready: false, reason: "not checked yet" };
  #timer: Timer | undefined;
  #looking = false;
  /** The last check failed, but responses still arrive. */
  #doubtful = false;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #answeredAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(
    private readonly service: BackendAdapter,
    private readonly clock: Clock,
    private readonly onChange: (state: BackendState) => void,
  ) {}

  get state(): BackendState {
    return this.#state;
  }

  /** Looks once, and goes on looking until stopped. */
  async start(): Promise<BackendState> {
    await this.#look();
    return this.#state;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** The backend has answered a request, or goes on doing so. */
  answered(): void {
    this.#answeredAt = this.clock.now();
  }

  /** Looks at once, because a request has failed. */
  lookNow(): void {
    if (this.#looking || this.#stopped) return;
    const wait = this.#lookedAt + LOOK_GAP_MS - this.clock.now();
    if (wait <= 0) return void this.#look();
    this.#timer?.cancel();
    this.#timer = this.clock.after(wait, () => void this.#look(), true);
  }

  async #look(): Promise<void> {
    this.#timer?.cancel();
    this.#looking = true;
    this.#lookedAt = this.clock.now();
    const next = await this.#probe();
    this.#looking = false;
    if (this.#stopped) return;
    const changed = JSON.stringify(next) !== JSON.stringify(this.#state);
    this.#state = next;
    if (changed) this.onChange(next);
    const wait = next.ready && !this.#doubtful ? this.service.pollMs : Math.min(AWAY_MS, this.service.pollMs);
    this.#timer = this.clock.after(wait, () => void this.#look(), true);
  }

  async #probe(): Promise<BackendState> {
    this.#doubtful = false;
    try {
      const { models, facts, ...rest } = await this.service.look();
      return { ready: true, ...rest, models: models.slice(0, MODELS_MAX), facts: { ...facts, ...this.service.facts } };
    } catch (error) {
      const answering = this.clock.now() - this.#answeredAt < ANSWERING_MS;
      if (this.#state.ready && answering && !isUnreachable(error)) {
        this.#doubtful = true;
        return this.#state;
      }
      return { ready: false, reason: messageOf(error) };
    }
  }
}
