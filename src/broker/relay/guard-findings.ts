// Findings of `doctor` about the relays of a running broker.
import { z } from "zod";
import { type Finding, ok, warn } from "../../lib/findings.ts";
import { relayGuard } from "../../modules/state.ts";

const shown = z.object({
  plugins: z.object({
    mcp: z.object({ clients: z.array(z.object({ id: z.string(), guard: relayGuard })) }).optional(),
  }),
});

const BY: Readonly<Record<z.infer<typeof relayGuard>, string>> = {
  token: "callers need the relay's AUTH_TOKEN",
  api_key: "callers need the broker's API key",
  open: "anyone can call it (MCP_OPEN)",
};

/** How each relay in a broker's state is guarded; nothing for a state that cannot be read. */
export function relayFindings(state: unknown): Finding[] {
  const relays = shown.safeParse(state).data?.plugins.mcp?.clients ?? [];
  return relays.map(({ id, guard }) => (guard === "open" ? warn : ok)("relay", `${id}: ${BY[guard]}`));
}
