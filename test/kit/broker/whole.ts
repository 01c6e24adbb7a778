// A broker with everything that this build can serve, on a port of its own.
import { builtIn } from "../../../cmd/modules.ts";
import { nfrx } from "../../../cmd/programs.ts";
import { Broker, type BrokerOptions } from "../../../src/broker/broker.ts";
import { brokerOptions } from "../../../src/config/broker.ts";
import { defaultsOf } from "../../../src/config/group.ts";
import type { Logger } from "../../../src/lib/log.ts";

/** Starts it with the defaults, but for `values`; jobs are kept in memory. */
export function wholeBroker(values: Partial<BrokerOptions["values"]> = {}): Broker {
  return Broker.start({
    values: { ...defaultsOf(brokerOptions), port: 0, host: "127.0.0.1", jobsStore: "memory", ...values },
    modules: builtIn.map(module => module.configure(defaultsOf(module.options))),
    log: silent,
    declared: nfrx,
  });
}

const nothing = (): void => {};
const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, fatal: nothing };
