import { KeyThrottle, type KeyThrottleOptions } from "../../../src/broker/key-throttle.ts";
import { TrustedProxies } from "../../../src/lib/http.ts";
import { systemClock } from "../../../src/lib/time.ts";

/** What counts wrong keys, without proxies and unseen unless told otherwise. */
export function throttle(options: Partial<KeyThrottleOptions> = {}): KeyThrottle {
  return new KeyThrottle({ clock: systemClock, proxies: new TrustedProxies([]), onWrongKey: () => {}, ...options });
}
