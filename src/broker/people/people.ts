// Everything that is kept of people and machines, opened together and closed together.
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import type { ActiveKey } from "./active-key.ts";
import { Keys } from "./keys.ts";
import { Ledger } from "./ledger.ts";
import { startOf } from "./periods.ts";
import type { PeopleStore } from "./store.ts";

export interface PeopleOptions {
  readonly store: PeopleStore;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds for which hours of the ledger are kept. */
  readonly retentionMs: number;
}

export class People {
  private constructor(
    readonly store: PeopleStore,
    readonly keys: Keys,
    readonly ledger: Ledger,
  ) {}

  /** Reads the keys, and what they have used of the limits that last longer than a minute. */
  static async open(options: PeopleOptions): Promise<People> {
    const { store, clock } = options;
    const keys = await Keys.open(options);
    await restoreMeters(keys, store, clock.wall());
    return new People(store, keys, new Ledger(options));
  }

  async close(): Promise<void> {
    this.keys.close();
    await this.ledger.close();
    await this.store.close();
  }
}

/** The ledger counts by the hour, and days and months begin with an hour: what it has is exact. */
async function restoreMeters(keys: Keys, store: PeopleStore, now: number): Promise<void> {
  const limited = keys.list().filter(({ limits }) => limits.length > 0);
  if (limited.length === 0) return;
  const sums = async (since: number) => {
    const rows = await store.usage({ by: ["key"], since, until: now + 1 });
    return new Map(rows.map(row => [row.key, row]));
  };
  const [day, month] = await Promise.all([sums(startOf("day", now)), sums(startOf("month", now))]);
  for (const { id } of limited) {
    const today = day.get(id);
    const thisMonth = month.get(id);
    const key: ActiveKey = keys.get(id);
    key.meter.restore(
      {
        dayTokens: (today?.tokens_in ?? 0) + (today?.tokens_out ?? 0),
        monthTokens: (thisMonth?.tokens_in ?? 0) + (thisMonth?.tokens_out ?? 0),
        daySlotMs: today?.slot_ms ?? 0,
      },
      now,
    );
  }
}
