import { Authenticator, type AuthenticatorOptions } from "../../../src/broker/http/access/authenticator.ts";
import { Tickets } from "../../../src/broker/http/access/tickets.ts";
import { TrustedProxies } from "../../../src/lib/http.ts";
import { systemClock } from "../../../src/lib/time.ts";
import type { Principal } from "../../../src/modules/route.ts";
import { throttle } from "./throttle.ts";

/** A caller, for what is tested without the mount. */
export function principal(more: Partial<Principal> = {}): Principal {
  return {
    kind: "anonymous",
    name: "anonymous",
    holds: () => true,
    person: undefined,
    key: undefined,
    speaksFor: () => {},
    credential: "-",
    address: "192.0.2.1",
    caller: "one",
    ...more,
  };
}

/** Keys by their kinds; without one nothing is asked for, and administration is off. */
export function authenticator(
  keys: { api?: string; client?: string; admin?: string } = {},
  more: Partial<AuthenticatorOptions> = {},
): Authenticator {
  return new Authenticator({
    api: { key: keys.api },
    client: { key: keys.client },
    admin: { key: keys.admin },
    proxies: new TrustedProxies([]),
    throttle: throttle(),
    tickets: new Tickets(systemClock),
    ...more,
  });
}
