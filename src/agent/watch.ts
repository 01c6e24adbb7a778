import { messageOf } from "../lib/errors.ts";
import type { HeaderPairs } from "../lib/http.ts";
import type { Clock, Timer } from "../lib/time.ts";
import type { Ask, Backend, ProbeResult } from "../modules/module.ts";
import { MODELS_MAX } from "../protocol/limits.ts";
import { credentials } from "./forward.ts";

/** Milliseconds after which a question to the backend is given up. */
const PROBE_MS = 10_000;
/** Bytes of a backend's answer about itself. */
const PROBE_BYTES = 8 * 1024 * 1024;
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
    private readonly backend: Backend,
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
    const wait = next.ready ? this.backend.pollMs : Math.min(AWAY_MS, this.backend.pollMs);
    this.#timer = this.clock.after(wait, () => void this.#look(), true);
  }

  async #probe(): Promise<BackendState> {
    try {
      const { models, facts }: ProbeResult = await this.backend.probe(asking(credentials(this.backend)));
      return { ready: true, models: models.slice(0, MODELS_MAX), facts: { ...facts, ...this.backend.facts } };
    } catch (error) {
      return { ready: false, reason: messageOf(error) };
    }
  }
}

/** Asks with the backend's key, within PROBE_MS and PROBE_BYTES. */
function asking(headers: HeaderPairs): Ask {
  return async url => {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_MS), redirect: "manual", headers });
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`GET ${url} answered ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > PROBE_BYTES) throw new Error(`GET ${url} answered with more than ${PROBE_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, length).toString("utf8");
  };
}
