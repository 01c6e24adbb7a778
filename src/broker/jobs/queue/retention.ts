import type { Logger } from "../../../lib/log.ts";
import type { Clock, Timer } from "../../../lib/time.ts";
import { RETENTION_BATCH, RETENTION_GAP_MS } from "../limits.ts";
import type { JobStore } from "../store/store.ts";

export interface RetentionOptions {
  readonly store: JobStore;
  /** How long ended jobs are kept, and how many of them. */
  readonly settings: { readonly retentionMs: number; readonly maxEnded: number };
  readonly clock: Clock;
  readonly log: Logger;
  /** Called with every job that is no longer kept. */
  readonly onForgotten: (id: string) => void;
}

/** Deletes the jobs that have ended long enough ago, and those beyond the number that is kept. */
export class Retention {
  #planned: { readonly timer: Timer; readonly at: number } | undefined;
  #closed = false;

  constructor(private readonly options: RetentionOptions) {}

  /** Looks for old jobs in `ms`, unless that is planned for an earlier time. */
  plan(ms = RETENTION_GAP_MS): void {
    const { clock, log } = this.options;
    const at = clock.now() + ms;
    if (this.#closed || (this.#planned !== undefined && this.#planned.at <= at)) return;
    this.#planned?.timer.cancel();
    const look = (): void => {
      this.#planned = undefined;
      this.#look().catch((cause: unknown) => {
        log.error({ cause: String(cause) }, "cannot delete old jobs");
        this.plan(RETRY_MS);
      });
    };
    this.#planned = { timer: clock.after(ms, look, true), at };
  }

  close(): void {
    this.#closed = true;
    this.#planned?.timer.cancel();
  }

  async #look(): Promise<void> {
    const { store, clock, settings, onForgotten } = this.options;
    const ids = await store.forget(clock.wall() - settings.retentionMs, settings.maxEnded, RETENTION_BATCH);
    for (const id of ids) onForgotten(id);
    if (ids.length === RETENTION_BATCH) return this.plan(1);
    const first = await store.firstEnd();
    if (first === undefined) return;
    this.plan(Math.max(first + settings.retentionMs + 1 - clock.wall(), RETENTION_GAP_MS));
  }
}

/** Retry interval of the retention after a failed deletion, in milliseconds. */
const RETRY_MS = 60_000;
