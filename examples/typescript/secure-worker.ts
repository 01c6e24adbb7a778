// A worker that takes only signed and encrypted payloads; doc/secure-jobs.md tells how.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Nfrx } from "./nfrx/api.ts";
import {
  HELP_OPTION,
  main,
  note,
  SECURE_OPTIONS,
  UsageError,
  WORKER_OPTIONS,
  WORKER_USAGE,
  workerOptions,
} from "./nfrx/cli.ts";
import { CmsError } from "./nfrx/cms.ts";
import { inFolder, runFilter } from "./nfrx/filter.ts";
import { loadIdentity, MEDIA_TYPE, makeOffer, openFrom, sealFor, takeOffer } from "./nfrx/secure.ts";
import { JobFailed, type Task, work } from "./nfrx/worker.ts";

const USAGE = `secure-worker [OPTIONS] -- COMMAND [ARGUMENT]...

${WORKER_USAGE}
  --peer FINGERPRINT   accept only a client with this certificate (SHA-256, hexadecimal); may be repeated.
                       Without it every client's certificate is accepted.
  --identity FILE      this worker's key and certificate in PEM, made when missing (default: new ones for every run)

Environment: NFRX_URL (default: http://localhost:8080) and CLIENT_KEY.`;

await main(async signal => {
  const { values, positionals: command } = parseArgs({
    allowPositionals: true,
    options: {
      ...HELP_OPTION,
      ...WORKER_OPTIONS,
      ...SECURE_OPTIONS,
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (command.length === 0) throw new UsageError("no command; try --help");

  const identity = await loadIdentity(values.identity);
  note(`worker certificate ${identity.fingerprint}`);

  async function exchange(task: Task, folder: string): Promise<void> {
    const { job_id, type, metadata } = task.claim;
    const { peer, nonce } = takeOffer(metadata, values.peer);
    const offer = makeOffer(identity);
    const context = { job_id, type, part: "payload", key: "payload", nonce: offer.nonce } as const;
    const payload = await task.takePayload(incoming => openFrom(identity, peer, context, incoming), {
      secure_transfer: offer,
    });
    await task.report("running");
    const output = join(folder, "output");
    await runFilter(command, [payload.body], output, task);
    const answer = { job_id, type, part: "result", key: "result", nonce } as const;
    const sealed = await sealFor(identity, peer, answer, values["content-type"], await readFile(output));
    await task.giveResult(sealed, MEDIA_TYPE, { secure_transfer: offer });
  }

  const handle = (task: Task): Promise<void> =>
    inFolder(folder => exchange(task, folder)).catch(error => {
      // The broker may know that something was refused, and why; nothing of what was in it.
      throw error instanceof CmsError ? new JobFailed("secure_transfer_refused", error.message) : error;
    });
  await work(Nfrx.fromEnvironment("CLIENT_KEY"), workerOptions(values), handle, signal);
  return 0;
});
