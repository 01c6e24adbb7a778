import { type Finding, ok, warn } from "../lib/findings.ts";

/** The authentication of a relay's callers, from its options. */
export function relayGuardFinding({ authToken, open }: { authToken: string | undefined; open: boolean }): Finding {
  if (authToken !== undefined) return ok("guard", "callers need AUTH_TOKEN");
  return open
    ? warn(
        "guard",
        "MCP_OPEN is set: anyone can call this relay if the broker has MCP_ALLOW_OPEN; set AUTH_TOKEN to require a token",
      )
    : ok("guard", "callers need the broker's API key; for a separate key, set AUTH_TOKEN");
}
