import { docling, doclingModule } from "../src/modules/docling.ts";
import { nfrxDocling } from "./programs.ts";
import { runWorker } from "./worker.ts";

await runWorker(nfrxDocling, doclingModule, docling.listsModels);
