// What the agents of the worker modules have in common.
import { examineAgent } from "../src/agent/doctor.ts";
import { connectionOf, runAgent } from "../src/agent/main.ts";
import type { Agent } from "../src/agent/run.ts";
import { workerAgent } from "../src/agent/worker.ts";
import type { agentOptions, workerOptions } from "../src/config/agent.ts";
import type { commonOptions } from "../src/config/common.ts";
import type { OptionGroup, Shape, Values } from "../src/config/group.ts";
import type { GroupValues, Program } from "../src/config/program.ts";
import type { traceOptions } from "../src/config/traces.ts";
import type { Logger } from "../src/lib/log.ts";
import { catchStrays, onStopSignal, raiseFetchLimit } from "../src/lib/process.ts";
import { openTracing, type Tracing } from "../src/lib/tracing.ts";
import type { Backend, WorkerModule } from "../src/modules/module.ts";
import { logDirOf, main } from "./main.ts";

type WorkerGroups<S extends Shape> = {
  common: typeof commonOptions;
  agent: ReturnType<typeof agentOptions>;
  worker: typeof workerOptions;
  backend: OptionGroup<S>;
  traces: ReturnType<typeof traceOptions>;
};

/** Runs the agent of a module, with the backend that `toBackend` makes of the options. */
export function runWorker<S extends Shape>(
  program: Program<WorkerGroups<S>>,
  { id: module, listsModels }: WorkerModule,
  toBackend: (values: Values<OptionGroup<S>>) => Backend,
): Promise<never> {
  const build = (
    { agent, worker, backend }: GroupValues<WorkerGroups<S>>,
    log: Logger,
    tracing: Tracing | undefined,
  ): Agent =>
    workerAgent({
      ...connectionOf(agent),
      module,
      backend: toBackend(backend),
      clientId: agent.clientId,
      maxConcurrency: worker.maxConcurrency,
      requestTimeoutMs: agent.requestTimeoutMs,
      tracing,
      log,
    });
  return main(program, {
    logging: values => values,
    examine: ({ values, configFile, log }) =>
      examineAgent({
        program: program.name,
        config: configFile,
        agent: build(values, log, undefined),
        backendOption: Object.values(program.groups.backend.shape).find(({ kind }) => kind === "url")?.env ?? "",
        needsModels: listsModels,
        statusAddress: values.worker.statusAddress,
        metricsAddress: values.agent.metricsAddress,
        logDir: logDirOf(values.backend),
      }),
    run: async ({ values, configFile, log }) => {
      raiseFetchLimit();
      catchStrays(log);
      const { agent, worker } = values;
      const tracing = await openTracing(values.traces, log);
      return runAgent({
        agent: build(values, log, tracing),
        metricsAddress: agent.metricsAddress,
        drainTimeoutMs: worker.drainTimeoutMs,
        status: { address: worker.statusAddress, configFile: configFile.path, name: module },
        tracing,
        log,
        onSignal: onStopSignal,
      });
    },
  });
}
