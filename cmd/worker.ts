// What the agents of the worker modules have in common.
import { runAgent } from "../src/agent/main.ts";
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
      const { agent, worker, backend } = values;
      return runAgent({
        module,
        agent,
        worker,
        backend: toBackend(backend),
        configFile,
        tokenName: module,
        log,
        onSignal: onStopSignal,
      });
    },
  );
}
