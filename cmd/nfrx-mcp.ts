import { connectionOf, runAgent } from "../src/agent/main.ts";
import { relayAgent } from "../src/agent/relay-agent.ts";
import { catchStrays, onStopSignal, raiseFetchLimit } from "../src/lib/process.ts";
import { main } from "./main.ts";
import { nfrxMcp } from "./programs.ts";

await main(
  nfrxMcp,
  values => values,
  ({ values, log }) => {
    raiseFetchLimit();
    catchStrays(log);
    const { agent: shared, provider } = values;
    const agent = relayAgent({ ...connectionOf(shared), id: shared.clientId, provider, log });
    const { metricsAddress } = shared;
    return runAgent({ agent, metricsAddress, drainTimeoutMs: provider.drainTimeoutMs, log, onSignal: onStopSignal });
  },
);
