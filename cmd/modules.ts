// The worker modules of this build, with what the options say of their pools.
import type { BrokerOptions } from "../src/broker/broker.ts";
import type { GroupValues } from "../src/config/program.ts";
import { asr } from "../src/modules/asr.ts";
import { docling } from "../src/modules/docling.ts";
import { llm } from "../src/modules/llm.ts";
import { poolSettings } from "../src/modules/pool.ts";
import type { nfrx } from "./programs.ts";

type Options = Pick<GroupValues<(typeof nfrx)["groups"]>, "llm" | "asr" | "docling">;

export function knownModules(values: Options): BrokerOptions["modules"] {
  return [
    { module: llm, pool: poolSettings(values.llm) },
    { module: asr, pool: poolSettings(values.asr) },
    { module: docling, pool: poolSettings(values.docling) },
  ];
}
