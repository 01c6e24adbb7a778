// How much of a key's limits per minute is left, in the headers of OpenAI's API.
import type { CallerKey, RateLimit } from "../../modules/route.ts";

const UNITS = ["requests", "tokens"] as const;
const namesOf = (unit: RateLimit["unit"]) =>
  ({
    limit: `x-ratelimit-limit-${unit}`,
    remaining: `x-ratelimit-remaining-${unit}`,
    reset: `x-ratelimit-reset-${unit}`,
  }) as const;
const NAMES = { requests: namesOf("requests"), tokens: namesOf("tokens") };

/** The headers' names, for pages of other origins. */
export const RATE_HEADERS: readonly string[] = UNITS.flatMap(unit => Object.values(NAMES[unit]));

type Answered = Response | undefined | Promise<Response | undefined>;

/** The response to a request of this key, with its limits per minute as they stand then; unchanged for a key without any. */
export function withRateLimits(key: CallerKey, response: Answered): Answered {
  if (response instanceof Promise) return response.then(given => decorated(key, given));
  return decorated(key, response);
}

function decorated(key: CallerKey, response: Response | undefined): Response | undefined {
  if (response === undefined) return undefined;
  for (const { unit, max, remaining, resetSeconds } of key.rateLimits()) {
    const { limit, remaining: left, reset } = NAMES[unit];
    response.headers.set(limit, String(max));
    response.headers.set(left, String(remaining));
    response.headers.set(reset, durationOf(resetSeconds));
  }
  return response;
}

/** As OpenAI's API writes it, such as 7s or 1m0s. */
function durationOf(seconds: number): string {
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
