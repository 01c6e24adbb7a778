import { Drain } from "../lib/drain.ts";
import type { Declaration } from "../lib/series.ts";
import { Budget } from "./http/body/budget.ts";
import { JobMetrics } from "./jobs/queue/metrics.ts";
import { BrokerMetrics } from "./observe/metrics.ts";
import { declarePools, declareShared } from "./observe/pools.ts";
import { TransferMetrics } from "./transfer/metrics.ts";

/** All metrics of a broker, for the documentation; a test compares them with a running broker. */
export function brokerDeclarations(): readonly Declaration[] {
  const metrics = new BrokerMetrics();
  const { meters } = metrics;
  declarePools(meters, []);
  const nothing = new Budget(0, "");
  declareShared(meters, {
    memory: nothing,
    disk: nothing,
    drain: new Drain(),
    sessions: () => 0,
    listeners: () => 0,
  });
  new JobMetrics(meters);
  new TransferMetrics(metrics);
  return meters.declared;
}
