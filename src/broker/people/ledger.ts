// The ledger: who used what, summed up by the hour.
import { messageOf } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { type Clock, every, type Timer } from "../../lib/time.ts";
import type { PeopleStore, UsageQuery, UsageSum } from "./store.ts";
import { addUsage, HOUR_MS, noUsage, type UsageAmounts, type UsageRow, type UsageSeries } from "./usage.ts";

/** Milliseconds between writes: what a killed process loses at most. */
const LEDGER_WRITE_MS = 1_000;
/** Series that wait to be written; further ones are counted under the name `other`, so that no sum is lost. */
const LEDGER_PENDING_MAX = 10_000;
const RETENTION_CHECK_MS = HOUR_MS;
const OTHER = "other";

export interface LedgerOptions {
  readonly store: PeopleStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds for which hours are kept. */
  readonly retentionMs: number;
}

/** Counts requests that have ended, in memory first. */
export class Ledger {
  #pending = new Map<string, UsageRow>();
  #writing = Promise.resolve();
  #failing = false;
  /** Writes that have failed; what they held is written with the next one. */
  failures = 0;
  readonly #timers: Timer[];

  constructor(private readonly options: LedgerOptions) {
    const { clock } = options;
    this.#timers = [
      every(clock, LEDGER_WRITE_MS, () => void this.write()),
      every(clock, RETENTION_CHECK_MS, () => void this.#forget()),
    ];
  }

  /** Counts a request in the hour in which it ended. */
  add(series: UsageSeries, amounts: UsageAmounts): void {
    const hour = Math.floor(this.options.clock.wall() / HOUR_MS);
    let name = nameOf(series, hour);
    let row = this.#pending.get(name);
    if (row === undefined) {
      const kept = this.#pending.size < LEDGER_PENDING_MAX ? series : others;
      name = nameOf(kept, hour);
      row = this.#pending.get(name) ?? { ...kept, hour, ...noUsage() };
      this.#pending.set(name, row);
    }
    addUsage(row, amounts);
  }

  /** Sums, those of the last second included. */
  async usage(query: UsageQuery): Promise<UsageSum[]> {
    await this.write();
    return this.options.store.usage(query);
  }

  /** Writes what waits. Ends when it has been written, or has failed to be. */
  async write(): Promise<void> {
    // One write at a time, and callers of this wait for all that was pending when they came.
    this.#writing = this.#writing.then(() => this.#write());
    await this.#writing;
  }

  /** Writes what waits for the last time. */
  async close(): Promise<void> {
    for (const timer of this.#timers) timer.cancel();
    await this.write();
  }

  async #write(): Promise<void> {
    const { store, log } = this.options;
    if (this.#pending.size === 0) return;
    const rows = [...this.#pending.values()];
    this.#pending = new Map();
    try {
      await store.count(rows);
      if (this.#failing) log.info({}, "the ledger is written again");
      this.#failing = false;
    } catch (error) {
      for (const row of rows) this.#putBack(row);
      this.failures++;
      if (!this.#failing) log.error({ cause: messageOf(error) }, "the ledger could not be written; it is tried again");
      this.#failing = true;
    }
  }

  #putBack(row: UsageRow): void {
    const name = nameOf(row, row.hour);
    const counted = this.#pending.get(name);
    if (counted === undefined) this.#pending.set(name, row);
    else addUsage(counted, row);
  }

  async #forget(): Promise<void> {
    const { store, clock, retentionMs, log } = this.options;
    try {
      await store.forgetUsage(clock.wall() - retentionMs);
    } catch (error) {
      log.warn({ cause: messageOf(error) }, "old hours of the ledger could not be deleted");
    }
  }
}

const others: UsageSeries = { person: OTHER, key: OTHER, module: OTHER, model: OTHER, worker: OTHER };

/** Control characters do not occur in names, so one that separates them makes the text unambiguous. */
function nameOf({ person, key, module, model, worker }: UsageSeries, hour: number): string {
  return `${hour}\n${person}\n${key}\n${module}\n${model}\n${worker}`;
}
