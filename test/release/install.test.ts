// packaging/install.sh, with what lies in dist/release.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { PROGRAMS } from "../../cmd/called.ts";

const root = resolve(import.meta.dir, "..", "..");
const release = join(root, "dist", "release");
/** What the installer, and the tar that it calls, need of a machine, without xz. */
const TOOLS = [
  "sh",
  "cut",
  "grep",
  "head",
  "id",
  "cat",
  "mktemp",
  "mkdir",
  "rm",
  "cp",
  "ln",
  "uname",
  "curl",
  "tar",
  "gzip",
];

let folder = "";
/** The files that were asked for. */
let fetched: string[] = [];
/** What becomes of the checksums on their way. */
let tamper = (sums: string): string => sums;

const server = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  async fetch(request) {
    const name = basename(new URL(request.url).pathname);
    fetched.push(name);
    const file = Bun.file(join(release, name));
    if (name === "SHA256SUMS") return new Response(tamper(await file.text()));
    return (await file.exists()) ? new Response(file) : new Response(null, { status: 404 });
  },
});
afterAll(() => server.stop(true));

beforeAll(() => expect(existsSync(join(release, "SHA256SUMS"))).toBeTrue());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
  fetched = [];
  tamper = sums => sums;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function install(path: string): Promise<{ code: number; out: string; errors: string }> {
  const installer = Bun.spawn(["sh", join(root, "packaging", "install.sh")], {
    cwd: folder,
    // What is in dist/release has no signature; test/security/19-install.test.ts has those.
    env: {
      PATH: path,
      HOME: folder,
      PREFIX: join(folder, "prefix"),
      NFRX_RELEASES: server.url.origin,
      NFRX_SIGNATURE: "skip",
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [code, out, errors] = await Promise.all([
    installer.exited,
    new Response(installer.stdout).text(),
    new Response(installer.stderr).text(),
  ]);
  return { code, out, errors };
}

/** A PATH on which there is nothing but these. */
function pathOf(names: readonly string[]): string {
  const bin = join(folder, "bin");
  mkdirSync(bin);
  for (const name of names) {
    const found = Bun.which(name);
    if (found !== null) symlinkSync(found, join(bin, name));
  }
  return bin;
}

const everything = process.env["PATH"] ?? "";

test("installs the five programs once, with their pages and completions, from the smaller archive", async () => {
  for (const round of ["anew", "over those that are there"]) {
    const { code, out, errors } = await install(everything);
    expect({ round, code, errors }).toEqual({ round, code: 0, errors: "" });
    expect(out).toStartWith("The signature was not checked.");
    expect(out).toContain("\nnfrx version=");
    expect(out).toContain("nfrx init");
  }
  expect(fetched.filter(name => name !== "SHA256SUMS").map(name => name.slice(-7))).toEqual([".tar.xz", ".tar.xz"]);
  const bin = join(folder, "prefix", "bin");
  expect(readdirSync(bin).sort()).toEqual([...PROGRAMS].sort());
  expect(new Set(PROGRAMS.map(program => statSync(join(bin, program)).ino)).size).toBe(1);
  for (const program of PROGRAMS) {
    const told = Bun.spawnSync([join(bin, program), "--version"], { cwd: folder });
    expect(told.stdout.toString()).toStartWith(`${program} version=`);
    expect(existsSync(join(folder, "prefix", "share", "man", "man1", `${program}.1`))).toBeTrue();
  }
}, 60_000);

test("takes the other archive where there is no xz, and asks shasum where there is no sha256sum", async () => {
  const path = pathOf([...TOOLS, Bun.which("shasum") === null ? "sha256sum" : "shasum"]);
  expect(await install(path)).toMatchObject({ code: 0, errors: expect.not.stringContaining("install.sh:") });
  const mac = process.platform === "darwin";
  expect(fetched[1]).toEndWith(mac ? ".tar.xz" : ".tar.gz");
}, 60_000);

test("installs nothing of an archive that is not what the checksums say", async () => {
  tamper = sums => sums.replaceAll(/^[0-9a-f]/gm, digit => (digit === "0" ? "1" : "0"));
  const { code, errors } = await install(everything);
  expect([code, errors]).toEqual([
    1,
    expect.stringContaining("does not have the checksum in SHA256SUMS: nothing was installed"),
  ]);
  expect(existsSync(join(folder, "prefix"))).toBeFalse();
}, 60_000);

test("says so when a release has nothing for this machine", async () => {
  tamper = () => `${"0".repeat(64)}  nfrx_plan9_x64_v0.1.0.tar.gz\n`;
  const { code, errors } = await install(everything);
  expect([code, errors]).toEqual([1, expect.stringContaining("the release has no archive for")]);
  expect(existsSync(join(folder, "prefix"))).toBeFalse();
});
