// Payloads and results that the broker cannot read, between every secure client and every secure worker.
import { describe, expect } from "bun:test";
import { X509Certificate } from "node:crypto";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";
import { Between, isTransfer, type Passing } from "./between.ts";
import {
  type Language,
  LIMIT_MS,
  languages,
  nodeExamples,
  pairs,
  Stage,
  stages,
  withExamples,
  withOpenssl,
} from "./examples.ts";

const SIZE = 5 * 1024 * 1024 + 1;
const COPY = ["--once", "--", "cat"];
const RUN = ["copy", "--payload", "payload", "--result", "result"];
/** What a worker says to all that it decrypted, or could not, and does not take. */
const NOT_FOR_ME = "secure_transfer_refused: not sealed by the peer for this certificate and this job";

const each = languages.map((language): [string, Language] => [language.name, language]);

interface Known {
  fingerprint: string;
  certificate: string;
}

/** Somebody else's identity in a file: what it takes to stand in for a side, but for the trust in it. */
async function makeIdentity(stage: Stage, language: Language, file: string): Promise<Known> {
  const { stdout } = await stage.run(language, "identity", [file]);
  const fingerprint = Buffer.from(stdout).toString().trim();
  expect(fingerprint).toMatch(/^[0-9a-f]{64}$/);
  const pem = await Bun.file(stage.path(file)).text();
  const certificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/.exec(pem)?.[0] ?? "";
  return { fingerprint, certificate };
}

/** Puts a certificate in the place of the one that is offered in a JSON body. */
function replaceCertificate(passing: Passing, { certificate }: Known): void {
  const body = JSON.parse(passing.body.toString());
  (body.metadata ?? body.properties).secure_transfer.certificate = certificate;
  passing.body = Buffer.from(JSON.stringify(body));
}

describe.each(stages)("%s", (_name, start) => {
  describe.each(pairs)("%s", (_pair, client, worker) => {
    withExamples(
      "a payload of some MiB and its result travel sealed",
      async () => {
        await using stage = await start();
        await using proxy = new Between(stage.origin);
        const bytes = Buffer.from(await stage.file("payload", SIZE));
        const working = stage.start(worker, "secure-worker", COPY, proxy.url);
        const { code, said } = await stage.run(client, "secure-client", RUN, proxy.url);
        expect([code, said]).toEqual([0, expect.stringMatching(/\ncompleted\n$/)]);
        expect(await working.end()).toMatchObject({ code: 0, said: expect.stringContaining("completed") });
        expect(Buffer.compare(await Bun.file(stage.path("result")).bytes(), bytes)).toBe(0);
        // What the broker saw: more bytes than the plain ones, and nowhere the first or the last of them.
        expect(proxy.written.map(({ length }) => length > SIZE)).toEqual([true, true]);
        for (const sealed of proxy.written) {
          expect([sealed.indexOf(bytes.subarray(0, 16)), sealed.indexOf(bytes.subarray(-16))]).toEqual([-1, -1]);
        }
      },
      LIMIT_MS,
    );
  });
});

describe.each(pairs)("%s", (_pair, client, worker) => {
  withExamples(
    "each accepts the other's pinned certificate, and the identity in a file stays",
    async () => {
      await using stage = await Stage.ours();
      await stage.file("payload", 1000);
      const mine = await makeIdentity(stage, client, "client.pem");
      const theirs = await makeIdentity(stage, worker, "worker.pem");
      const working = stage.start(worker, "secure-worker", [
        "--identity",
        "worker.pem",
        "--peer",
        mine.fingerprint,
        ...COPY,
      ]);
      // As openssl prints it.
      const pin = theirs.fingerprint.toUpperCase().replace(/..(?=.)/g, "$&:");
      const { code, said } = await stage.run(client, "secure-client", [
        "--identity",
        "client.pem",
        "--peer",
        pin,
        ...RUN,
      ]);
      expect([code, said]).toEqual([0, expect.stringContaining(`client certificate ${mine.fingerprint}\n`)]);
      expect(await working.end()).toMatchObject({ said: expect.stringContaining(theirs.fingerprint) });
    },
    LIMIT_MS,
  );
});

describe.each(each)("%s", (_language, language) => {
  withExamples(
    "the worker refuses a payload of which one bit was changed",
    async () => {
      await using stage = await Stage.ours();
      await using proxy = new Between(stage.origin, passing => {
        if (isTransfer(passing)) passing.body[passing.body.length >> 1]! ^= 1;
      });
      await stage.file("payload", SIZE);
      const working = stage.start(language, "secure-worker", ["--once", "--", "sh", "-c", "echo ran >&2"]);
      const { code, said } = await stage.run(language, "secure-client", RUN, proxy.url);
      expect([code, said]).toEqual([
        1,
        expect.stringContaining("secure_transfer_refused: the signature is not the peer's"),
      ]);
      const { said: logged } = await working.end();
      expect(logged).toContain("failed: the signature is not the peer's");
      expect(logged).not.toContain("ran");
    },
    LIMIT_MS,
  );

  withExamples(
    "the client refuses a result of which one bit was changed",
    async () => {
      await using stage = await Stage.ours();
      await using proxy = new Between(stage.origin, passing => {
        if (isTransfer(passing)) passing.body[passing.body.length - 1]! ^= 1;
      });
      await stage.file("payload", 1000);
      const working = stage.start(language, "secure-worker", COPY, proxy.url);
      const { code, said } = await stage.run(language, "secure-client", RUN);
      expect([code, said]).toEqual([1, expect.stringContaining("error: the signature is not the peer's")]);
      expect(await Bun.file(stage.path("result")).exists()).toBeFalse();
      expect((await working.end()).code).toBe(0);
    },
    LIMIT_MS,
  );

  withExamples(
    "a client sends nothing to a certificate that is not pinned",
    async () => {
      await using stage = await Stage.ours();
      const other = await makeIdentity(stage, language, "other.pem");
      await using proxy = new Between(stage.origin);
      await stage.file("payload", 1000);
      const working = stage.start(language, "secure-worker", ["--lease", "1", ...COPY]);
      const { code, said } = await stage.run(
        language,
        "secure-client",
        ["--peer", other.fingerprint, ...RUN],
        proxy.url,
      );
      expect([code, said]).toEqual([1, expect.stringContaining("certificate is none of the pinned ones")]);
      expect(said).toContain("canceling: now canceled");
      expect(proxy.written).toEqual([]);
      expect(await working.end()).toMatchObject({ said: expect.stringContaining("given up") });
    },
    LIMIT_MS,
  );

  withExamples(
    "a worker takes nothing from a certificate that is not pinned",
    async () => {
      await using stage = await Stage.ours();
      const other = await makeIdentity(stage, language, "other.pem");
      await stage.file("payload", 1000);
      const working = stage.start(language, "secure-worker", ["--peer", other.fingerprint, ...COPY]);
      const { code, said } = await stage.run(language, "secure-client", RUN);
      expect([code, said]).toEqual([
        1,
        expect.stringContaining("secure_transfer_refused: the other side's certificate is none"),
      ]);
      expect((await working.end()).said).not.toContain("completed");
    },
    LIMIT_MS,
  );

  withExamples(
    "another certificate in the client's place makes the worker refuse the payload",
    async () => {
      await using stage = await Stage.ours();
      const other = await makeIdentity(stage, language, "other.pem");
      await using proxy = new Between(stage.origin, passing => {
        if (passing.path === "/api/jobs") replaceCertificate(passing, other);
      });
      await stage.file("payload", 1000);
      const working = stage.start(language, "secure-worker", COPY);
      const { code, said } = await stage.run(language, "secure-client", RUN, proxy.url);
      expect([code, said]).toEqual([
        1,
        expect.stringContaining("secure_transfer_refused: the signature is not the peer's"),
      ]);
      expect((await working.end()).said).not.toContain("completed");
    },
    LIMIT_MS,
  );

  withExamples(
    "another certificate in the worker's place leaves a payload that the worker cannot open",
    async () => {
      await using stage = await Stage.ours();
      const other = await makeIdentity(stage, language, "other.pem");
      await using proxy = new Between(stage.origin, passing => {
        if (passing.path.endsWith("/payload")) replaceCertificate(passing, other);
      });
      await stage.file("payload", 1000);
      const working = stage.start(language, "secure-worker", COPY, proxy.url);
      const { code, said } = await stage.run(language, "secure-client", RUN);
      expect([code, said]).toEqual([1, expect.stringContaining(NOT_FOR_ME)]);
      expect((await working.end()).said).not.toContain("completed");
    },
    LIMIT_MS,
  );

  withExamples(
    "a payload of an earlier job is not taken for this one's",
    async () => {
      await using stage = await Stage.ours();
      await using proxy = new Between(stage.origin, passing => {
        const [earlier] = proxy.written;
        if (isTransfer(passing) && earlier) passing.body = earlier;
      });
      await stage.file("payload", 1000);
      const identities = { worker: ["--identity", "worker.pem"], client: ["--identity", "client.pem"] };
      const first = stage.start(language, "secure-worker", [...identities.worker, ...COPY]);
      expect((await stage.run(language, "secure-client", [...identities.client, ...RUN], proxy.url)).code).toBe(0);
      expect((await first.end()).said).toContain("completed");
      const second = stage.start(language, "secure-worker", [...identities.worker, ...COPY]);
      const { code, said } = await stage.run(language, "secure-client", [...identities.client, ...RUN], proxy.url);
      expect([code, said]).toEqual([1, expect.stringContaining(NOT_FOR_ME)]);
      expect((await second.end()).said).not.toContain("completed");
    },
    LIMIT_MS,
  );

  withExamples(
    "a worker refuses a client that offers nothing",
    async () => {
      await using stage = await Stage.ours();
      const working = stage.start(language, "secure-worker", COPY);
      const { code, said } = await stage.run(language, "jobs-client", ["run", "copy"]);
      expect([code, said]).toEqual([1, expect.stringContaining("does not offer cms-x509-signed-v1")]);
      expect((await working.end()).code).toBe(0);
    },
    LIMIT_MS,
  );

  withExamples(
    "a client does not take a completed job without a result for a success",
    async () => {
      await using stage = await Stage.ours();
      const client = stage.start(language, "secure-client", ["copy"]);
      await client.says(/^job /m);
      const { job_id, claim_id } = await stage.post("/api/jobs/claim", CLIENT_KEY, { max_wait_seconds: 20 });
      await stage.post(`/api/jobs/${job_id}/status`, CLIENT_KEY, { state: "completed", claim_id });
      expect(await client.end()).toMatchObject({ code: 1, said: expect.stringContaining("there was no result") });
    },
    LIMIT_MS,
  );

  withOpenssl(
    "a payload that somebody else has signed anew is refused, whether it can be decrypted or not",
    async () => {
      await using stage = await Stage.ours();
      const other = await makeIdentity(stage, language, "other.pem");
      let harm = (envelope: Buffer): Buffer => envelope;
      // A broker that is a client of its own to a worker that takes every client.
      await using proxy = new Between(stage.origin, passing => {
        if (passing.path === "/api/jobs") replaceCertificate(passing, other);
        if (!isTransfer(passing)) return;
        const content = signedBy(stage.path("client.pem"), passing.body);
        const signer = ["-signer", stage.path("other.pem"), "-inkey", stage.path("other.pem")];
        const options = ["-sign", "-outform", "DER", "-binary", "-nodetach", "-nocerts", "-md", "sha256", ...signer];
        passing.body = openssl(options, harm(content));
      });
      await stage.file("payload", 1000);
      const client = ["--identity", "client.pem", ...RUN];
      const whole = stage.start(language, "secure-worker", COPY);
      const one = await stage.run(language, "secure-client", client, proxy.url);
      // Only the sender's name inside speaks against it.
      expect([one.code, one.said]).toEqual([1, expect.stringContaining(NOT_FOR_ME)]);
      expect((await whole.end()).said).not.toContain("completed");
      // The last byte of the ciphertext: now the padding is wrong, of which nobody may hear.
      harm = envelope => {
        envelope[envelope.length - 1]! ^= 0xff;
        return envelope;
      };
      const broken = stage.start(language, "secure-worker", COPY);
      const two = await stage.run(language, "secure-client", client, proxy.url);
      expect([two.code, two.said]).toEqual([1, expect.stringContaining(NOT_FOR_ME)]);
      expect((await broken.end()).said).not.toContain("completed");
    },
    LIMIT_MS,
  );

  withOpenssl(
    "a certificate that does not fit is refused, and why is said",
    async () => {
      await using stage = await Stage.ours();
      stage.start(language, "secure-worker", ["--", "cat"]);
      const make = (options: string, days = 1): Promise<string> => makeCertificate(stage, options.split(" "), days);
      const both = "-addext keyUsage=digitalSignature,keyEncipherment";
      const offers: [string, string][] = [
        ["only 1024 bits", await make(`-newkey rsa:1024 ${both}`)],
        ["not an RSA key", await make(`-newkey ec -pkeyopt ec_paramgen_curve:P-256 ${both}`)],
        ["not valid now", await make(`-newkey rsa:2048 ${both}`, -1)],
        ["not for signing and encrypting", await make("-newkey rsa:2048")],
        ["not for signing and encrypting", await make("-newkey rsa:2048 -addext keyUsage=digitalSignature")],
        ["not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
      ];
      for (const [why, certificate] of offers) {
        const secure_transfer = { scheme: "cms-x509-signed-v1", certificate, nonce: "0".repeat(32) };
        const job = await stage.post("/api/jobs", API_KEY, { type: "copy", metadata: { secure_transfer } });
        expect(await stage.ended(String(job["job_id"]))).toMatchObject({
          status: "failed",
          error: { code: "secure_transfer_refused", message: expect.stringContaining(why) },
        });
      }
    },
    LIMIT_MS,
  );

  withOpenssl(
    "openssl opens what was sealed",
    async () => {
      await using stage = await Stage.ours();
      await using proxy = new Between(stage.origin);
      const bytes = Buffer.from(await stage.file("payload", 100_000));
      const working = stage.start(language, "secure-worker", ["--identity", "worker.pem", ...COPY], proxy.url);
      const { code } = await stage.run(language, "secure-client", ["--identity", "client.pem", ...RUN], proxy.url);
      expect([code, (await working.end()).code]).toEqual([0, 0]);
      const sides = [
        { part: "payload", from: "client.pem", to: "worker.pem", sealed: proxy.written[0]! },
        { part: "result", from: "worker.pem", to: "client.pem", sealed: proxy.written[1]! },
      ];
      for (const { part, from, to, sealed } of sides) {
        const enveloped = signedBy(stage.path(from), sealed);
        const recipient = ["-recip", stage.path(to), "-inkey", stage.path(to)];
        const plain = openssl(["-decrypt", "-inform", "DER", "-binary", ...recipient], enveloped);
        const end = plain.indexOf("\n");
        expect(JSON.parse(plain.subarray(0, end).toString())).toEqual({
          job_id: expect.any(String),
          type: "copy",
          part,
          key: part,
          nonce: expect.stringMatching(/^[0-9a-f]{32}$/),
          from: await fingerprintOf(stage.path(from)),
          content_type: "application/octet-stream",
        });
        expect(Buffer.compare(plain.subarray(end + 1), bytes)).toBe(0);
      }
    },
    LIMIT_MS,
  );
});

withExamples(
  "TypeScript on Node",
  async () => {
    await using stage = await Stage.ours();
    const bytes = await stage.file("payload", SIZE);
    const working = stage.start(nodeExamples, "secure-worker", COPY);
    expect((await stage.run(nodeExamples, "secure-client", RUN)).code).toBe(0);
    expect((await working.end()).code).toBe(0);
    expect(Buffer.compare(await Bun.file(stage.path("result")).bytes(), bytes)).toBe(0);
  },
  LIMIT_MS,
);

/** What is inside a signature, which must be that of the certificate in this file. */
function signedBy(certificate: string, sealed: Uint8Array): Buffer {
  const signer = ["-certfile", certificate, "-nointern", "-noverify"];
  return openssl(["-verify", "-inform", "DER", "-binary", ...signer], sealed);
}

function openssl(args: string[], input: Uint8Array): Buffer {
  const { success, stdout, stderr } = Bun.spawnSync(["openssl", "cms", ...args], { stdin: input });
  if (!success) throw new Error(stderr.toString());
  return stdout;
}

/** A self-signed certificate with a new key, in PEM, valid for so many days. */
async function makeCertificate(stage: Stage, options: string[], days: number): Promise<string> {
  const [key, certificate] = [stage.path("made.key"), stage.path("made.pem")];
  const made = Bun.spawnSync([
    "openssl",
    "req",
    "-x509",
    "-nodes",
    "-subj",
    "/CN=somebody",
    "-keyout",
    key,
    "-out",
    certificate,
    ...options,
  ]);
  if (!made.success) throw new Error(made.stderr.toString());
  // Of the past it can be made by this command only.
  const dated = Bun.spawnSync(["openssl", "x509", "-in", certificate, "-signkey", key, "-days", String(days)]);
  if (!dated.success) throw new Error(dated.stderr.toString());
  return dated.stdout.toString();
}

async function fingerprintOf(path: string): Promise<string> {
  const pem = await Bun.file(path).text();
  return new X509Certificate(pem.slice(pem.indexOf("-----BEGIN CERT"))).fingerprint256
    .replaceAll(":", "")
    .toLowerCase();
}
