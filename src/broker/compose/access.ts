import { TrustedProxies } from "../../lib/http.ts";
import { OriginGuard } from "../../lib/origin-guard.ts";
import { Authenticator } from "../http/access/authenticator.ts";
import { Cors } from "../http/access/cors.ts";
import { KeyThrottle } from "../http/access/key-throttle.ts";
import { Tickets } from "../http/access/tickets.ts";
import { Bodies } from "../http/body/bodies.ts";
import type { Reach } from "../listen/reach.ts";
import type { Keys } from "../people/keys.ts";
import type { BrokerValues, Common } from "./options.ts";

/** Access control of the broker. */
export interface AccessParts {
  readonly authenticator: Authenticator;
  readonly cors: Cors;
  readonly guard: OriginGuard;
  readonly tickets: Tickets;
  readonly proxies: TrustedProxies;
}

export function composeAccess(
  values: BrokerValues,
  { reach, keys }: { reach: Reach; keys: Keys | undefined },
  { clock, log, metrics }: Common,
): AccessParts {
  const cors = new Cors(values.allowedOrigins, origin =>
    log.warn({ origin }, "blocked a page of another origin; to allow it, add the origin to ALLOWED_ORIGINS"),
  );
  const proxies = new TrustedProxies(values.trustedProxies);
  const throttle = new KeyThrottle({
    clock,
    onWrongKey: (kind, throttled) => metrics.wrongKey(kind, throttled),
  });
  const tickets = new Tickets(clock);
  const authenticator = new Authenticator({
    api: { key: values.apiKey, roles: values.apiHttpRoles },
    client: { key: values.clientKey, roles: values.clientHttpRoles },
    admin: { key: values.adminKey },
    proxies,
    throttle,
    tickets,
    keys,
  });
  if (authenticator.isOpen("api")) log.warn({}, "the API requires no key: set API_KEY or API_HTTP_ROLES");
  if (authenticator.isOpen("client")) log.warn({}, "agents need no key: set CLIENT_KEY or CLIENT_HTTP_ROLES");
  const guard = new OriginGuard({
    allowsOrigin: origin => cors.allows(origin),
    hosts: values.allowedHosts,
    publicUrl: values.publicUrl,
    listensOn: reach.host,
  });
  return { authenticator, cors, guard, tickets, proxies };
}

/** Shared budgets of request bodies. */
export function composeBodies(values: BrokerValues, { clock, log }: Common): Bodies {
  const bodies = new Bodies({ ...values, pace: { clock, bytesPerSecond: values.bodyMinRate } });
  void bodies.spool.trouble().then(cause => {
    const dir = values.uploadSpoolDir;
    if (cause !== undefined) log.warn({ dir, cause }, "cannot use UPLOAD_SPOOL_DIR: some large uploads will fail");
  });
  return bodies;
}
