import { runAgent } from "../src/agent/main.ts";
import { catchStrays, onStopSignal, raiseFetchLimit } from "../src/lib/process.ts";
import { llmBackend } from "../src/modules/llm.ts";
import { main } from "./main.ts";
import { nfrxLlm } from "./programs.ts";

await main(
  nfrxLlm,
  values => values,
  ({ values, configFile, log }) => {
    raiseFetchLimit();
    catchStrays(log);
    const { agent, worker, backend } = values;
    return runAgent({
      module: "llm",
      agent,
      worker,
      backend: llmBackend(backend),
      configFile,
      tokenName: "llm",
      log,
      onSignal: onStopSignal,
    });
  },
);
