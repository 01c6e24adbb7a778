// packaging/install.sh against a release that somebody has meddled with.
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PROGRAMS } from "../../cmd/called.ts";

const script = readFileSync(resolve(import.meta.dir, "..", "..", "packaging", "install.sh"), "utf8");
const TOOLS = [
  ...["sh", "cut", "cat", "grep", "head", "id", "mktemp", "mkdir", "rm", "cp", "ln", "ldd", "uname", "curl", "tar"],
  ...["gzip", "sha256sum", "shasum"],
];
const withShell = describe.skipIf(process.platform === "win32");

let folder = "";
let asked: string[] = [];
let release: Record<string, Uint8Array | string> = {};

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch(request) {
    const name = new URL(request.url).pathname.slice(1);
    asked.push(name);
    return new Response(release[name] ?? null, { status: name in release ? 200 : 404 });
  },
});
afterAll(() => server.stop(true));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
  asked = [];
  release = aRelease();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** An archive for each machine that this may run on, with its checksum and a bundle. */
function aRelease(): Record<string, Uint8Array | string> {
  const content = join(folder, "content", "nfrx");
  mkdirSync(join(content, "share"), { recursive: true });
  for (const name of PROGRAMS) writeFileSync(join(content, name), "#!/bin/sh\necho installed\n", { mode: 0o755 });
  const packed = Bun.spawnSync(["tar", "-C", join(folder, "content"), "-czf", "-", "nfrx"]).stdout;
  const sum = new Bun.CryptoHasher("sha256").update(packed).digest("hex");
  const machines = ["linux_x64", "linux_arm64", "linux_x64-musl", "darwin_x64", "darwin_arm64"];
  const names = machines.flatMap(machine => ["gz", "xz"].map(kind => `nfrx_${machine}_v1.2.3.tar.${kind}`));
  return {
    ...Object.fromEntries(names.map(name => [name, packed])),
    SHA256SUMS: names.map(name => `${sum}  ${name}\n`).join(""),
    "SHA256SUMS.sigstore.json": "a bundle",
  };
}

/** Puts a program that notes its arguments and ends with `code` on the PATH. */
function checker(name: "cosign" | "gh", code: number): void {
  const path = join(folder, "bin", name);
  writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "$@" >"${folder}/${name}-arguments"\nexit ${code}\n`);
  chmodSync(path, 0o755);
}

function run(text: string, env: Record<string, string> = {}) {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  for (const tool of TOOLS) {
    const found = Bun.which(tool);
    if (found !== null && !existsSync(join(bin, tool))) symlinkSync(found, join(bin, tool));
  }
  writeFileSync(join(folder, "install.sh"), text);
  const settings = { PATH: bin, HOME: folder, PREFIX: join(folder, "prefix"), NFRX_RELEASES: server.url.origin };
  const child = Bun.spawn([Bun.which("sh") ?? "sh", join(folder, "install.sh")], {
    cwd: folder,
    env: { ...settings, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  return Promise.all([child.exited, new Response(child.stdout).text(), new Response(child.stderr).text()]);
}

const installed = (): boolean => existsSync(join(folder, "prefix"));

withShell("install.sh", () => {
  beforeEach(() => mkdirSync(join(folder, "bin"), { recursive: true }));

  test("does nothing when the download of it breaks off anywhere", async () => {
    const lines = script.trimEnd().split("\n");
    expect(lines.at(-1)).toBe('main "$@"');
    for (let end = 1; end < lines.length; end += 3) await run(`${lines.slice(0, end).join("\n")}\n`);
    await run(script.trimEnd().slice(0, -'main "$@"'.length));
    expect([asked, installed()]).toEqual([[], false]);
    expect((await run(script))[0]).toBe(0);
  }, 60_000);

  test("takes files over https alone, from other machines", async () => {
    const [code, , errors] = await run(script, { NFRX_RELEASES: "http://releases.invalid" });
    expect([code, errors]).toEqual([1, expect.stringContaining("is not an https URL")]);
    expect(script).toContain('--proto "$protocol" --tlsv1.2');
  });

  test("refuses an archive that is not the one in SHA256SUMS", async () => {
    for (const name of Object.keys(release)) if (name.startsWith("nfrx_")) release[name] = "another archive";
    const [code, , errors] = await run(script);
    expect([code, errors]).toEqual([1, expect.stringContaining("nothing was installed")]);
    expect(installed()).toBeFalse();
  });

  test("says that it did not check the signature when it cannot, and refuses when that is required", async () => {
    expect(await run(script)).toEqual([0, expect.stringContaining("The signature was not checked"), ""]);
    rmSync(join(folder, "prefix"), { recursive: true });
    const [code, , errors] = await run(script, { NFRX_SIGNATURE: "required" });
    expect([code, errors, installed()]).toEqual([1, expect.stringContaining("install cosign or gh"), false]);
  });

  test.each(["cosign", "gh"] as const)("checks the signature with %s where it is there", async name => {
    checker(name, 0);
    expect(await run(script)).toEqual([0, expect.stringContaining("The signature is that of"), ""]);
    const given = readFileSync(join(folder, `${name}-arguments`), "utf8");
    expect(given).toContain("https://token.actions.githubusercontent.com\n");
    expect(given).toMatch(/SHA256SUMS\.sigstore\.json\n/);
    // The identity is whole: another repository whose name begins alike, or another workflow, does not fit.
    if (name === "gh") {
      expect(given).toContain("--repo\nnfrx/nfrx\n--signer-workflow\nnfrx/nfrx/.github/workflows/release.yml\n");
    } else {
      const identity = new RegExp(/--certificate-identity-regexp\n(.*)\n/.exec(given)?.[1] ?? "$^");
      const base = "https://github.com/nfrx/nfrx/.github/workflows";
      expect(`${base}/release.yml@refs/tags/v1.2.3`).toMatch(identity);
      for (const wrong of [
        `${base}/release.yml@refs/heads/main`,
        `${base}/test.yml@refs/tags/v1.2.3`,
        "https://github.com/nfrx/nfrx-fork/.github/workflows/release.yml@refs/tags/v1.2.3",
        `https://evil.example/${base}/release.yml@refs/tags/v1.2.3`,
      ])
        expect(wrong).not.toMatch(identity);
    }
  });

  test.each(["cosign", "gh"] as const)(
    "refuses what %s does not find signed, and a release without a signature",
    async name => {
      checker(name, 0);
      delete release["SHA256SUMS.sigstore.json"];
      expect(await run(script)).toEqual([1, "", expect.stringContaining("the release has no signature")]);
      release = aRelease();
      if (name === "gh") {
        // Its help is there; the check fails.
        checker(name, 0);
        const text = '#!/bin/sh\n[ "$3" = --help ]\n';
        writeFileSync(join(folder, "bin", name), text, { mode: 0o755 });
      } else checker(name, 1);
      expect(await run(script)).toEqual([1, "", expect.stringContaining("nothing was installed")]);
      expect(installed()).toBeFalse();
    },
  );
});
