import { agentTrouble, examineAgent } from "../src/agent/doctor.ts";
import { connectionOf, runAgent } from "../src/agent/main.ts";
import { relayAgent } from "../src/agent/relay-agent.ts";
import { relayGuardFinding } from "../src/agent/relay-guard.ts";
import type { Agent } from "../src/agent/run.ts";
import type { GroupValues } from "../src/config/program.ts";
import type { Logger } from "../src/lib/log.ts";
import { installUnhandledHandlers, onStopSignal, raiseFetchLimit } from "../src/lib/process.ts";
import { openTracing, type Tracing } from "../src/lib/tracing.ts";
import { main } from "./main.ts";
import { nfrxMcp } from "./programs.ts";

const build = (
  { agent, provider }: GroupValues<typeof nfrxMcp.groups>,
  log: Logger,
  droppedLogs?: () => number,
  tracing?: Tracing,
): Agent => relayAgent({ ...connectionOf(agent), id: agent.clientId, provider, tracing, log, droppedLogs });

/** The options that set the provider. */
const providerOption = ({
  stdioCommand,
  httpUrl,
  providerUrl,
}: GroupValues<typeof nfrxMcp.groups>["provider"]): string =>
  [
    ...(stdioCommand === undefined ? [] : ["MCP_STDIO_COMMAND"]),
    ...(httpUrl === undefined ? [] : ["MCP_HTTP_URL"]),
    ...(httpUrl === undefined && (providerUrl !== undefined || stdioCommand === undefined) ? ["PROVIDER_URL"] : []),
  ].join(" or ");

await main(nfrxMcp, {
  logging: values => values,
  examine: async function* ({ values, configFile, log }) {
    yield relayGuardFinding(values.provider);
    yield* examineAgent({
      program: nfrxMcp.name,
      config: configFile,
      agent: build(values, log),
      backendOption: providerOption(values.provider),
      keyOption: undefined,
      needsModels: false,
      statusAddress: undefined,
      metricsAddress: values.agent.metricsAddress,
      logDir: undefined,
    });
  },
  health: ({ agent }) => agentTrouble(agent.metricsAddress),
  run: async ({ values, log, droppedLogs }) => {
    raiseFetchLimit();
    installUnhandledHandlers(log);
    const { metricsAddress } = values.agent;
    const { drainTimeoutMs } = values.provider;
    const tracing = openTracing(values.traces, log);
    const agent = build(values, log, droppedLogs, tracing);
    return runAgent({ agent, metricsAddress, drainTimeoutMs, tracing, log, onSignal: onStopSignal });
  },
});
