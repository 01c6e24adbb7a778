// A jobs client whose payload and result are signed and encrypted; doc/secure-jobs.md tells how.
import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { Nfrx } from "./nfrx/api.ts";
import {
  HELP_OPTION,
  JOB_OPTIONS,
  JOB_USAGE,
  main,
  newJob,
  note,
  SECURE_OPTIONS,
  seeThrough,
  UsageError,
} from "./nfrx/cli.ts";
import { CmsError } from "./nfrx/cms.ts";
import { saveTo } from "./nfrx/files.ts";
import { loadIdentity, MEDIA_TYPE, makeOffer, openFrom, sealFor, takeOffer } from "./nfrx/secure.ts";

const USAGE = `secure-client [OPTIONS] TYPE

Like "jobs-client run", but the payload is encrypted for the worker's certificate and the result for this client's, and
both are signed. The job's type and metadata are not protected.

${JOB_USAGE}
  --peer FINGERPRINT   accept only a worker with this certificate (SHA-256, hexadecimal); may be repeated.
                       Without it any worker's certificate is accepted, and the broker could put its own in its place.
  --identity FILE      this client's key and certificate in PEM, made when missing (default: new ones for every run)

Exit code: 0 when the job was completed, 1 when it failed or was canceled.
Environment: NFRX_URL (default: http://localhost:8080) and API_KEY.`;

await main(async signal => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ...HELP_OPTION,
      ...JOB_OPTIONS,
      ...SECURE_OPTIONS,
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [type, ...rest] = positionals;
  if (type === undefined || rest.length > 0) throw new UsageError("try --help");

  const identity = await loadIdentity(values.identity);
  note(`client certificate ${identity.fingerprint}`);
  const offer = makeOffer(identity);
  const job = newJob(type, values);
  job.metadata = { ...job.metadata, secure_transfer: offer };
  const body = values.payload === undefined ? new Uint8Array() : await readFile(values.payload);
  /** The workers that were sent the payload: only they can know the result. */
  const workers = new Set<string>();

  let received = false;
  const code = await seeThrough(Nfrx.fromEnvironment("API_KEY"), job, signal, job_id => ({
    async payload({ key, properties }) {
      const { peer, nonce } = takeOffer(properties, values.peer);
      workers.add(peer.fingerprint);
      note(`worker certificate ${peer.fingerprint}${values.peer.length > 0 ? "" : ", not pinned"}`);
      const context = { job_id, type, part: "payload", key, nonce } as const;
      const sealed = await sealFor(identity, peer, context, values["content-type"], body);
      note(`sending ${sealed.length} bytes`);
      return { body: sealed, contentType: MEDIA_TYPE };
    },
    async result({ key, properties }, incoming) {
      const { peer } = takeOffer(properties, values.peer);
      if (!workers.has(peer.fingerprint)) throw new CmsError("the result comes from a worker that had no payload");
      const context = { job_id, type, part: "result", key, nonce: offer.nonce } as const;
      const result = await openFrom(identity, peer, context, incoming);
      await saveTo(values.result, [result.body]);
      received = true;
    },
  }));
  // That a job is completed is only the broker's word.
  if (code === 0 && !received) throw new CmsError("the job is completed, but there was no result");
  return code;
});
