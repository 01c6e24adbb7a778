// One file reads the credentials of a request; everything behind the mount takes the principal from the call.
import { expect, test } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "..", "..");
const READERS = new Set(["src/broker/http/access/authenticator.ts"]);
/** Ways to read a credential: by the functions of src/lib/http.ts, or by the name of a header. */
const READS =
  /\b(?:credentialIn|credentialsOf|bearerToken)\b|\.get\("(?:authorization|x-api-key|api-key|x-user-roles)"\)/;

test("no handler reads credentials", async () => {
  const found: string[] = [];
  for await (const path of new Bun.Glob("src/{broker,modules}/**/*.ts").scan(root)) {
    const file = path.replaceAll("\\", "/");
    // A page in a browser has no requests to answer.
    if (file.includes("/page/") || READERS.has(file)) continue;
    if (READS.test(await Bun.file(join(root, file)).text())) found.push(file);
  }
  expect(found).toEqual([]);
});

test("the file that may reads them so", async () => {
  for (const file of READERS) expect(await Bun.file(join(root, file)).text()).toMatch(READS);
});
