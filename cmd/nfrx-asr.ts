import { asr, asrModule } from "../src/modules/asr.ts";
import { nfrxAsr } from "./programs.ts";
import { runWorker } from "./worker.ts";

await runWorker(nfrxAsr, asrModule, asr.listsModels);
