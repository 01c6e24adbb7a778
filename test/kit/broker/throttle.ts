import { KeyThrottle, type KeyThrottleOptions } from "../../../src/broker/http/access/key-throttle.ts";
import { systemClock } from "../../../src/lib/time.ts";

/** What counts wrong keys, unseen unless told otherwise. */
export function throttle(options: Partial<KeyThrottleOptions> = {}): KeyThrottle {
  return new KeyThrottle({ clock: systemClock, onWrongKey: () => {}, ...options });
}
