// A worker that does jobs with a command.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Nfrx } from "./nfrx/api.ts";
import { HELP_OPTION, main, UsageError, WORKER_OPTIONS, WORKER_USAGE, workerOptions } from "./nfrx/cli.ts";
import { fileBody } from "./nfrx/files.ts";
import { inFolder, runFilter } from "./nfrx/filter.ts";
import { type Task, work } from "./nfrx/worker.ts";

const USAGE = `jobs-worker [OPTIONS] -- COMMAND [ARGUMENT]...

${WORKER_USAGE}

Environment: NFRX_URL (default: http://localhost:8080) and CLIENT_KEY.`;

await main(async signal => {
  const { values, positionals: command } = parseArgs({
    allowPositionals: true,
    options: {
      ...HELP_OPTION,
      ...WORKER_OPTIONS,
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (command.length === 0) throw new UsageError("no command; try --help");

  const nfrx = Nfrx.fromEnvironment("CLIENT_KEY");
  const handle = (task: Task): Promise<void> =>
    inFolder(async folder => {
      const output = join(folder, "output");
      await task.takePayload(async payload => {
        await task.report("running");
        await runFilter(command, payload.chunks, output, task);
      });
      await task.giveResult(await fileBody(output), values["content-type"]);
    });
  await work(nfrx, workerOptions(values), handle, signal);
  return 0;
});
