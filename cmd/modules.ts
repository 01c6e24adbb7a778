// The modules of this build.
import { asrModule } from "../src/modules/asr.ts";
import { doclingModule } from "../src/modules/docling.ts";
import { llmModule } from "../src/modules/llm.ts";
import { mcpModule } from "../src/modules/mcp.ts";
import type { Module } from "../src/modules/module.ts";

export const builtIn: readonly Module[] = [llmModule, asrModule, doclingModule, mcpModule];
