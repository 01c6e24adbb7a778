// Common code of the worker modules' agents.
import { readFileSync } from "node:fs";
import { agentTrouble, examineAgent } from "../src/agent/doctor.ts";
import { connectionOf, runAgent } from "../src/agent/main.ts";
import type { Agent } from "../src/agent/run.ts";
import { workerAgent } from "../src/agent/worker-agent.ts";
import type { agentOptions, workerOptions } from "../src/config/agent.ts";
import type { commonOptions } from "../src/config/common.ts";
import type { OptionGroup } from "../src/config/group.ts";
import type { GroupValues, Program } from "../src/config/program.ts";
import type { Host } from "../src/config/sources.ts";
import type { traceOptions } from "../src/config/traces.ts";
import type { Logger } from "../src/lib/log.ts";
import { installUnhandledHandlers, onStopSignal, raiseFetchLimit } from "../src/lib/process.ts";
import { openTracing, type Tracing } from "../src/lib/tracing.ts";
import type { Backend, Module } from "../src/modules/module.ts";
import { logDirOf, main } from "./main.ts";

type WorkerGroups = {
  common: typeof commonOptions;
  agent: ReturnType<typeof agentOptions>;
  worker: typeof workerOptions;
  backend: OptionGroup;
  traces: ReturnType<typeof traceOptions>;
};

/** Runs the agent of a module. `needsModels`: a backend without models is not usable. */
export function runWorker(
  program: Program<WorkerGroups>,
  { id: module, agent: ends }: Module,
  needsModels: boolean,
  host?: Host,
): Promise<never> {
  if (ends === undefined) throw new Error(`the module ${module} has no agent`);
  const backendOptions = Object.values(program.groups.backend.shape);
  const build = (
    { agent, worker, backend }: GroupValues<WorkerGroups>,
    log: Logger,
    droppedLogs?: () => number,
    tracing?: Tracing,
  ): Agent =>
    workerAgent({
      ...connectionOf(agent),
      module,
      backend: reaching(ends.backend(backend), worker),
      endpoints: ends.endpoints,
      clientId: agent.clientId,
      maxConcurrency: worker.maxConcurrency,
      requestTimeoutMs: agent.requestTimeoutMs,
      tracing,
      log,
      droppedLogs,
    });
  return main(
    program,
    {
      logging: values => values,
      examine: ({ values, configFile, log }) =>
        examineAgent({
          program: program.name,
          config: configFile,
          agent: build(values, log),
          backendOption: backendOptions.find(({ kind }) => kind === "url")?.env ?? "",
          keyOption: backendOptions.find(({ kind }) => kind === "secret")?.env,
          needsModels,
          statusAddress: values.worker.statusAddress,
          metricsAddress: values.agent.metricsAddress,
          logDir: logDirOf(values.backend),
        }),
      health: ({ agent }) => agentTrouble(agent.metricsAddress),
      run: async ({ values, configFile, log, droppedLogs }) => {
        raiseFetchLimit();
        installUnhandledHandlers(log);
        const { agent, worker } = values;
        const tracing = openTracing(values.traces, log);
        return runAgent({
          agent: build(values, log, droppedLogs, tracing),
          metricsAddress: agent.metricsAddress,
          drainTimeoutMs: worker.drainTimeoutMs,
          status: { address: worker.statusAddress, configFile: configFile.path, name: module },
          tracing,
          log,
          onSignal: onStopSignal,
        });
      },
    },
    host,
  );
}

/** The backend with the connection options of every worker. Throws if the CA file cannot be read. */
function reaching(backend: Backend, { backendCaFile, backendHeaders }: GroupValues<WorkerGroups>["worker"]): Backend {
  return {
    ...backend,
    ownHeaders: { ...backend.ownHeaders, ...backendHeaders },
    ca: backendCaFile === undefined ? backend.ca : readFileSync(backendCaFile, "utf8"),
  };
}
