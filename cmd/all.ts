// The single executable behind the five names. It loads only the program that it is called as.
import { raiseFetchLimit } from "../src/lib/process.ts";
import { calledAs, type ProgramName } from "./called.ts";

const load: Readonly<Record<ProgramName, () => Promise<unknown>>> = {
  nfrx: () => import("./nfrx.ts"),
  "nfrx-llm": () => import("./nfrx-llm.ts"),
  "nfrx-mcp": () => import("./nfrx-mcp.ts"),
  "nfrx-asr": () => import("./nfrx-asr.ts"),
  "nfrx-docling": () => import("./nfrx-docling.ts"),
};

const given = process.argv.slice(2);
const { name, args } = calledAs(process.argv0, given);
// The agents would do this themselves, but only after loading, and then load again.
if (name !== "nfrx") raiseFetchLimit(name, args);
process.argv.splice(2, given.length, ...args);
await load[name]();
