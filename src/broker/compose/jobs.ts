import type { BodyLimits } from "../http/body/body.ts";
import { Jobs } from "../jobs/jobs.ts";
import { openStore } from "../jobs/store/open.ts";
import { TransferMetrics } from "../transfer/metrics.ts";
import { Transfers } from "../transfer/transfers.ts";
import type { BrokerValues, Common } from "./options.ts";

export function composeTransfers(values: BrokerValues, { clock, log, drain, metrics }: Common): Transfers {
  return new Transfers({
    clock,
    log,
    metrics: new TransferMetrics(metrics),
    drain,
    limits: {
      ttlMs: values.transferTtlMs,
      idleMs: values.transferIdleMs,
      channels: values.transferMaxChannels,
    },
  });
}

/** The jobs queue, whose bytes pass through the transfer channels. */
export function composeJobs(values: BrokerValues, channels: Transfers, bodies: BodyLimits, common: Common): Jobs {
  const limits = { maxJobs: values.jobsMax, maxBytes: values.jobsMaxBytes };
  return new Jobs({
    ...common,
    store: openStore(values.jobsStore, common.clock, limits, common.log),
    channels,
    settings: {
      leaseMs: values.jobsLeaseMs,
      maxAttempts: values.jobsMaxAttempts,
      clientTtlMs: values.jobsClientTtlMs,
      retentionMs: values.jobsRetentionMs,
      maxEnded: values.jobsMaxEnded,
    },
    closeDelayMs: values.jobsSseCloseDelayMs,
    bodies,
  });
}
