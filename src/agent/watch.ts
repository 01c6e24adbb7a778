import { messageOf } from "../lib/errors.ts";
import type { Clock, Timer } from "../lib/time.ts";
import { MODELS_MAX } from "../protocol/limits.ts";
import type { Service } from "./service.ts";

/** Milliseconds between looks at a backend that is away. */
const AWAY_MS = 2_000;

export type BackendState =
  | { ready: true; models: string[]; facts: Record<string, string> }
  | { ready: false; reason: string };

/** Looks at the backend now and then, and tells of every change. */
export class BackendWatch {
  #state: BackendState = { ready: false, reason: "not asked yet" };
  #timer: Timer | undefined;
  #stopped = false;

  constructor(
    private readonly service: Service,
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

  async #look(): Promise<void> {
    const next = await this.#probe();
    if (this.#stopped) return;
    const changed = JSON.stringify(next) !== JSON.stringify(this.#state);
    this.#state = next;
    if (changed) this.onChange(next);
    const wait = next.ready ? this.service.pollMs : Math.min(AWAY_MS, this.service.pollMs);
    this.#timer = this.clock.after(wait, () => void this.#look(), true);
  }

  async #probe(): Promise<BackendState> {
    try {
      const { models, facts } = await this.service.look();
      return { ready: true, models: models.slice(0, MODELS_MAX), facts: { ...facts, ...this.service.facts } };
    } catch (error) {
      return { ready: false, reason: messageOf(error) };
    }
  }
}
