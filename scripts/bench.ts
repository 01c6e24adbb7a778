/** `bun run bench`: see `bench/options.ts` for the options, `bench/plan.ts` for how much is measured. */
import { HELP, type Options, parseOptions } from "./bench/options.ts";
import { runBench } from "./bench/run.ts";

let options: Options | null = null;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(2);
}
if (options === null) console.log(HELP);
process.exit(options === null ? 0 : await runBench(options));
