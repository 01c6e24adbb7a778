// What the agents of the worker modules have in common.
import { connectionOf, runAgent } from "../src/agent/main.ts";
import { workerAgent } from "../src/agent/worker.ts";
import type { agentOptions, workerOptions } from "../src/config/agent.ts";
import type { commonOptions } from "../src/config/common.ts";
import type { OptionGroup, Shape, Values } from "../src/config/group.ts";
import type { Program } from "../src/config/program.ts";
import { catchStrays, onStopSignal, raiseFetchLimit } from "../src/lib/process.ts";
import type { Backend } from "../src/modules/module.ts";
import { main } from "./main.ts";

type WorkerGroups<S extends Shape> = {
  common: typeof commonOptions;
  agent: ReturnType<typeof agentOptions>;
  worker: typeof workerOptions;
  backend: OptionGroup<S>;
};

/** Runs the agent of `module`, with the backend that `toBackend` makes of the options. */
export function runWorker<S extends Shape>(
  program: Program<WorkerGroups<S>>,
  module: string,
  toBackend: (values: Values<OptionGroup<S>>) => Backend,
): Promise<never> {
  return main(
    program,
    values => values,
    ({ values, configFile, log }) => {
      raiseFetchLimit();
      catchStrays(log);
      const { agent: shared, worker, backend } = values;
      const agent = workerAgent({
        ...connectionOf(shared),
        module,
        backend: toBackend(backend),
        clientId: shared.clientId,
        maxConcurrency: worker.maxConcurrency,
        requestTimeoutMs: shared.requestTimeoutMs,
        log,
      });
      return runAgent({
        agent,
        metricsAddress: shared.metricsAddress,
        drainTimeoutMs: worker.drainTimeoutMs,
        status: { address: worker.statusAddress, configFile, name: module },
        log,
        onSignal: onStopSignal,
      });
    },
  );
}
