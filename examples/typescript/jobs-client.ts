// Creates a job and sees it through: sends its payload, receives its result.
import { parseArgs } from "node:util";
import { Nfrx } from "./nfrx/api.ts";
import { HELP_OPTION, JOB_OPTIONS, JOB_USAGE, main, newJob, note, seeThrough, UsageError } from "./nfrx/cli.ts";
import { cancelJob, getJob } from "./nfrx/client.ts";
import { fileBody, saveTo } from "./nfrx/files.ts";

const USAGE = `jobs-client run [OPTIONS] TYPE
jobs-client show JOB_ID
jobs-client cancel JOB_ID

run creates a job, sends the payload when a worker asks for it, and writes the result. Ctrl-C cancels the job.

${JOB_USAGE}

Exit code: 0 when the job was completed, 1 when it failed or was canceled.
Environment: NFRX_URL (default: http://localhost:8080) and API_KEY.`;

await main(async signal => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { ...HELP_OPTION, ...JOB_OPTIONS },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [verb, what, ...rest] = positionals;
  if (what === undefined || rest.length > 0) throw new UsageError("try --help");

  const nfrx = Nfrx.fromEnvironment("API_KEY");
  if (verb === "show") {
    console.log(JSON.stringify(await getJob(nfrx, what), undefined, 2));
    return 0;
  }
  if (verb === "cancel") {
    console.log(await cancelJob(nfrx, what));
    return 0;
  }
  if (verb !== "run") throw new UsageError("try --help");

  const body = values.payload === undefined ? new Blob([]) : await fileBody(values.payload);
  return seeThrough(nfrx, newJob(what, values), signal, () => ({
    payload: async () => {
      note(`sending ${body.size} bytes`);
      return { body, contentType: values["content-type"] };
    },
    result: (_channel, { chunks }) => saveTo(values.result, chunks),
  }));
});
