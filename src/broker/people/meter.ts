// Counts the use of one key and applies its limits.
import { NfrxError } from "../../lib/errors.ts";
import type { RateLimit, RequestCost, Reservation } from "../../modules/route.ts";
import type { Limit, LimitName } from "./limit.ts";
import { CalendarCount, endOf, SlidingMinute } from "./periods.ts";

/** How much of a limit is used. */
export interface LimitUse extends Limit {
  readonly used: number;
  /** When less will be used, in milliseconds since 1970; undefined for `concurrent`. */
  readonly resetsAt: number | undefined;
}

const SECOND_MS = 1_000;
const NO_RATES: readonly RateLimit[] = [];

/** Counts the use of one key. Times are milliseconds since 1970. */
export class Meter {
  /** Only keys with such a limit pay for its window. */
  #requests: SlidingMinute | undefined;
  #minuteTokens: SlidingMinute | undefined;
  readonly #dayTokens = new CalendarCount("day");
  readonly #monthTokens = new CalendarCount("month");
  readonly #daySlotMs = new CalendarCount("day");
  #concurrent = 0;
  #reservedTokens = 0;

  /** Requests that have been let in and not ended. */
  get concurrent(): number {
    return this.#concurrent;
  }

  /** Tokens that are reserved for them. */
  get reservedTokens(): number {
    return this.#reservedTokens;
  }

  /** Takes over what was counted before the process started. */
  restore(counted: { dayTokens: number; monthTokens: number; daySlotMs: number }, wall: number): void {
    this.#dayTokens.add(counted.dayTokens, wall);
    this.#monthTokens.add(counted.monthTokens, wall);
    this.#daySlotMs.add(counted.daySlotMs, wall);
  }

  /**
   * Lets a request in and reserves `tokens`, an estimate of what it will use. Throws `rate_limit_exceeded` or
   * `insufficient_quota` when a hard limit is used up, with the seconds until it is not.
   */
  admit(limits: readonly Limit[], tokens: number, wall: number, clock: () => number): Reservation {
    const behind = this.#judge(limits, wall, true);
    this.#concurrent++;
    this.#reservedTokens += tokens;
    this.#windowOf("requests/min", limits)?.add(1, wall);
    let open = true;
    const end = (): boolean => {
      if (!open) return false;
      open = false;
      this.#concurrent--;
      this.#reservedTokens -= tokens;
      return true;
    };
    const release = (): void => {
      if (end()) this.#requests?.takeBack(wall, clock());
    };
    return {
      behind,
      recheck: () => {
        try {
          this.#judge(limits, clock(), false);
        } catch (refused) {
          release();
          throw refused;
        }
      },
      settle: cost => {
        if (end()) this.#count(limits, cost, clock());
      },
      release,
    };
  }

  /** How much of each limit is used. */
  use(limits: readonly Limit[], wall: number): LimitUse[] {
    return limits.map(limit => ({
      ...limit,
      used: this.#used(limit.name, wall),
      resetsAt: this.#resetsAt(limit, wall),
    }));
  }

  /** The limits per minute as they stand. What is reserved counts, as on arrival. The time is only asked for where there are any. */
  rates(limits: readonly Limit[], clock: () => number): readonly RateLimit[] {
    if (!limits.some(({ name }) => name.endsWith("/min"))) return NO_RATES;
    const wall = clock();
    return limits.flatMap(({ name, max }) => {
      if (name !== "requests/min" && name !== "tokens/min") return [];
      const unit = name === "requests/min" ? "requests" : "tokens";
      const window = unit === "requests" ? this.#requests : this.#minuteTokens;
      const used = (window?.used(wall) ?? 0) + (unit === "tokens" ? this.#reservedTokens : 0);
      const resetSeconds = window?.secondsUntilBelow(1, wall) ?? 0;
      return [{ unit, max, remaining: Math.max(0, max - used), resetSeconds }];
    });
  }

  #count(limits: readonly Limit[], { tokens, slotMs }: RequestCost, wall: number): void {
    this.#windowOf("tokens/min", limits)?.add(tokens, wall);
    this.#dayTokens.add(tokens, wall);
    this.#monthTokens.add(tokens, wall);
    this.#daySlotMs.add(slotMs, wall);
  }

  /** True when a soft limit is used up. What is reserved counts on arrival, not for a request that has itself a reservation. */
  #judge(limits: readonly Limit[], wall: number, arriving: boolean): boolean {
    let behind = false;
    for (const limit of limits) {
      if (!arriving && (limit.name === "concurrent" || limit.name === "requests/min")) continue;
      const reserved = arriving && limit.name.startsWith("tokens/") ? this.#reservedTokens : 0;
      if (this.#used(limit.name, wall) + reserved < limit.max) continue;
      if (limit.kind === "hard") throw this.#refusal(limit, wall);
      behind = true;
    }
    return behind;
  }

  #used(name: LimitName, wall: number): number {
    switch (name) {
      case "requests/min":
        return this.#requests?.used(wall) ?? 0;
      case "tokens/min":
        return this.#minuteTokens?.used(wall) ?? 0;
      case "concurrent":
        return this.#concurrent;
      case "tokens/day":
        return this.#dayTokens.used(wall);
      case "tokens/month":
        return this.#monthTokens.used(wall);
      case "slot-seconds/day":
        return this.#daySlotMs.used(wall) / SECOND_MS;
    }
  }

  #resetsAt({ name, max }: Limit, wall: number): number | undefined {
    switch (name) {
      case "requests/min":
        return wall + SECOND_MS * (this.#requests?.secondsUntilBelow(max, wall) ?? 0);
      case "tokens/min":
        return wall + SECOND_MS * (this.#minuteTokens?.secondsUntilBelow(max, wall) ?? 0);
      case "concurrent":
        return undefined;
      case "tokens/day":
      case "slot-seconds/day":
        return endOf("day", wall);
      case "tokens/month":
        return endOf("month", wall);
    }
  }

  #refusal(limit: Limit, wall: number): NfrxError {
    // Tokens that running requests have reserved may be free in a moment.
    const resetsAt = this.#used(limit.name, wall) < limit.max ? undefined : this.#resetsAt(limit, wall);
    const seconds = resetsAt === undefined ? 1 : Math.max(1, Math.ceil((resetsAt - wall) / SECOND_MS));
    const isQuota = resetsAt !== undefined && !limit.name.endsWith("/min");
    const code = isQuota ? "insufficient_quota" : "rate_limit_exceeded";
    return new NfrxError(code, `the key has reached its limit of ${limit.max} ${limit.name}`, {
      retryAfterSeconds: seconds,
    });
  }

  #windowOf(name: "requests/min" | "tokens/min", limits: readonly Limit[]): SlidingMinute | undefined {
    if (!limits.some(limit => limit.name === name)) return undefined;
    if (name === "requests/min") {
      this.#requests ??= new SlidingMinute();
      return this.#requests;
    }
    this.#minuteTokens ??= new SlidingMinute();
    return this.#minuteTokens;
  }
}
