/** `npm run bench`: see `options.ts` for the options, `plan.ts` for how much is measured. */

import { missingTool } from "./load/wrk.ts";
import { HELP, type Options, parseOptions } from "./options.ts";
import { runBench } from "./run.ts";

let options: Options | null = null;
try {
  options = parseOptions(process.argv.slice(2));
  const missing = missingTool(options?.only ?? []);
  if (missing !== undefined) throw new Error(missing);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
if (options === null) console.log(HELP);
process.exit(options === null ? 0 : await runBench(options));
