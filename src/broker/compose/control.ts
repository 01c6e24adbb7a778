import type { Route } from "../../modules/route.ts";
import { LocalAuthenticator } from "../http/access/local-authenticator.ts";
import { type App, type MountOptions, mount } from "../http/mount.ts";

/** The scopes of what operators on this machine may use without a key. */
const SCOPES = ["admin", "state"];

/** The routes of administration as the control socket serves them: who may open it is an operator. */
export function composeControl(
  routes: readonly Route[],
  shared: Pick<MountOptions, "drain" | "access" | "metrics" | "clock">,
): App {
  return mount(
    routes.filter(({ scopes }) => scopes.some(scope => SCOPES.includes(scope))),
    {
      ...shared,
      authenticator: new LocalAuthenticator(),
      guard: { check: () => {} },
      server: () => SOCKET,
    },
  );
}

/** A Unix socket has no address, and its clients' connections have the server's own limits. */
const SOCKET = { requestIP: () => null, timeout: () => {} };
