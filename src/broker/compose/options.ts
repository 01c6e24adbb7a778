import type { brokerOptions } from "../../config/broker.ts";
import type { Values } from "../../config/group.ts";
import type { Drain } from "../../lib/drain.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import type { Tracing } from "../../lib/tracing.ts";
import type { ConfiguredModule } from "../../modules/module.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";
import type { DeclaredOptions } from "../observe/plugin-routes.ts";
import type { People } from "../people/people.ts";

export type BrokerValues = Values<typeof brokerOptions>;

export interface BrokerOptions {
  values: BrokerValues;
  modules: readonly ConfiguredModule[];
  log: Logger;
  /** Log lines that could not be written. */
  droppedLogs?: () => number;
  /** Makes traces, when given. */
  tracing?: Tracing | undefined;
  clock?: Clock;
  /** Keys that operators made, and the ledger. Without them there are the keys of the configuration alone. */
  people?: People | undefined;
  /** Where the options are declared, for the API that lists them. */
  declared?: DeclaredOptions;
}

/** Dependencies of every part of a broker. */
export interface Common {
  /** The name of this broker among several. */
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly drain: Drain;
  readonly metrics: BrokerMetrics;
}
