import { type Declaration, Meters } from "../lib/series.ts";
import { AgentMetrics } from "./metrics.ts";
import { RelayCounts } from "./relay-counts.ts";

/** Every metric of an agent, for the page about them; a test compares it with what an agent shows. */
export function agentDeclarations(): readonly Declaration[] {
  return new AgentMetrics({
    server: () => false,
    backend: () => false,
    current: () => 0,
    max: () => 0,
    links: () => [],
    droppedLogs: () => 0,
  }).meters.declared;
}

/** What a relay of MCP has besides. */
export function relayDeclarations(): readonly Declaration[] {
  const meters = new Meters();
  new RelayCounts().declare(meters, () => 0);
  return meters.declared;
}
