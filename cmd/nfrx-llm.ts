import { llm, llmModule } from "../src/modules/llm.ts";
import { nfrxLlm } from "./programs.ts";
import { runWorker } from "./worker.ts";

await runWorker(nfrxLlm, llmModule, llm.listsModels);
