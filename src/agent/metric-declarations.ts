import { type Declaration, Meters } from "../lib/series.ts";
import { AgentMetrics } from "./metrics.ts";
import { RelayCounts } from "./relay-counts.ts";

/** All metrics of an agent, for the documentation; a test compares them with a running agent. */
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

/** Additional metrics of an MCP relay. */
export function relayDeclarations(): readonly Declaration[] {
  const meters = new Meters();
  new RelayCounts().declare(meters, () => 0);
  return meters.declared;
}
