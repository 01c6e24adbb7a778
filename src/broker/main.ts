// A broker as a process: from its first line in the log to its exit code.
import type { brokerOptions } from "../config/broker.ts";
import type { Values } from "../config/group.ts";
import type { Logger } from "../lib/log.ts";
import { serviceManagerOf } from "../lib/systemd.ts";
import { VERSION } from "../lib/version.ts";
import type { Broker } from "./broker.ts";

/** Serves until a signal has drained the broker; the process' exit code. */
export async function serveBroker(
  broker: Broker,
  values: Values<typeof brokerOptions>,
  log: Logger,
  onSignal: (run: () => void) => void,
): Promise<number> {
  log.info(
    {
      port: broker.port,
      metrics_port: broker.metricsPort ?? broker.port,
      version: VERSION,
      tls: values.tlsCertFile !== undefined,
    },
    "listening",
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  onSignal(resolve);
  const manager = await serviceManagerOf(log);
  manager.ready(() => broker.summary);
  await promise;
  manager.stopping();
  log.info({ inflight: broker.drain.inflight, timeout_ms: values.drainTimeoutMs }, "draining");
  const finished = await broker.finish(values.drainTimeoutMs);
  if (!finished) log.warn({ inflight: broker.drain.inflight }, "not all work finished before the drain timed out");
  await broker.stop();
  log.info({}, "stopped");
  return 0;
}
