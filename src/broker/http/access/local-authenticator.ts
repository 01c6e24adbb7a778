// Callers of the control socket: operators on this machine.
import { TrustedProxies } from "../../../lib/http.ts";
import type { Arrival, Authenticates } from "./authenticator.ts";
import { RequestPrincipal } from "./principal.ts";

/** The header in which a client of the socket names its user, for the audit. It proves nothing. */
export const LOCAL_USER_HEADER = "x-nfrx-user";
const USER = /^[A-Za-z0-9._@-]{1,64}$/;
const NO_PROXIES = new TrustedProxies([]);

/** Lets everybody in: who may open the socket is settled by its mode. */
export class LocalAuthenticator implements Authenticates {
  isOpen(): boolean {
    return false;
  }

  resolve({ request, server, headers }: Arrival): RequestPrincipal {
    const claimed = headers.get(LOCAL_USER_HEADER) ?? "";
    const name = `local:${USER.test(claimed) ? claimed : "?"}`;
    const identity = { kind: "local", name, holds: () => true } as const;
    return new RequestPrincipal(identity, undefined, { request, server, proxies: NO_PROXIES }, name);
  }

  stranger(arrival: Arrival): RequestPrincipal {
    return this.resolve(arrival);
  }
}
