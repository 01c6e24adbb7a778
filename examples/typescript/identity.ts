// Makes an identity for the secure programs, and tells its fingerprint; doc/secure-jobs.md tells what for.
import { parseArgs } from "node:util";
import { HELP_OPTION, main, UsageError } from "./nfrx/cli.ts";
import { loadIdentity } from "./nfrx/secure.ts";

const USAGE = `identity FILE

Makes a key and a certificate in FILE, when there is no such file, and prints the certificate's fingerprint (SHA-256): what
the other side wants as its --peer, told by a way that the broker has no hand in.`;

await main(async () => {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: HELP_OPTION });
  const [file, ...rest] = positionals;
  if (values.help) console.log(USAGE);
  else if (file === undefined || rest.length > 0) throw new UsageError("try --help");
  else console.log((await loadIdentity(file)).fingerprint);
  return 0;
});
