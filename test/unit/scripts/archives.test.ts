// The archives that a release consists of, unpacked with the system's own tools.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deb } from "../../../scripts/release/deb.ts";
import { type Entry, file, withFolders } from "../../../scripts/release/entry.ts";
import { gzip } from "../../../scripts/release/gzip.ts";
import { tar } from "../../../scripts/release/tar.ts";
import { xz } from "../../../scripts/release/xz.ts";
import { zip } from "../../../scripts/release/zip.ts";

const EPOCH = 1_700_000_000;
const LONG = `doc/${"a-rather-long-name/".repeat(6)}end`;
/** Large enough for a block of its own, and hard to compress. */
const large = new Uint8Array(3_000_001);
for (const [index] of large.entries()) large[index] = (index * index * 31 + (index >> 7)) & 255;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const has = (...tools: string[]) => tools.every(tool => Bun.which(tool) !== null);

function run(...command: string[]): string {
  const done = Bun.spawnSync(command, { cwd: folder, env: { ...process.env, TZ: "UTC", LC_ALL: "C" } });
  if (done.exitCode !== 0) throw new Error(`${command.join(" ")}: ${done.stderr}`);
  return done.stdout.toString();
}

const entries = withFolders(
  [
    file("nfrx", large, 0o755),
    { kind: "hardlink", path: "nfrx-llm", to: "nfrx" },
    file("doc/page.md", "a page\n"),
    file(LONG, "far down\n"),
  ],
  "top/",
);
const pieces = tar(entries, EPOCH);

/** What `tar` makes of an archive. */
function unpacked(archive: Uint8Array, name: string): string {
  writeFileSync(join(folder, name), archive);
  run("mkdir", `${name}.d`);
  run("tar", "-xf", name, "-C", `${name}.d`);
  return join(folder, `${name}.d`, "top");
}

function expectAll(top: string): void {
  expect(readdirSync(top).sort()).toEqual(["doc", "nfrx", "nfrx-llm"]);
  expect(readFileSync(join(top, "nfrx")).equals(large)).toBe(true);
  const [first, second] = ["nfrx", "nfrx-llm"].map(name => statSync(join(top, name)));
  expect(second?.ino).toBe(first?.ino ?? 0);
  expect((first?.mode ?? 0) & 0o777).toBe(0o755);
  expect(first?.mtimeMs).toBe(EPOCH * 1000);
  expect(readFileSync(join(top, "doc", "page.md"), "utf8")).toBe("a page\n");
  expect(readFileSync(join(top, LONG), "utf8")).toBe("far down\n");
}

describe.skipIf(!has("tar", "xz"))("a tar archive", () => {
  test("as it is, in gzip and in xz unpacks to what was put in, hard links included", async () => {
    const whole = Buffer.concat(pieces);
    expectAll(unpacked(whole, "plain.tar"));
    expectAll(unpacked(gzip(whole), "packed.tar.gz"));
    expectAll(unpacked(await xz(whole, "x64", "snapshot"), "x64.tar.xz"));
    expectAll(unpacked(await xz(whole, "arm64", "snapshot"), "arm64.tar.xz"));
  });

  test("does not cut a name that is too long", () => {
    expect(() => tar([file("x".repeat(101), "")], EPOCH)).toThrow("too long");
  });
});

test.skipIf(!has("unzip"))("a zip archive unpacks to what was put in, and knows no links", () => {
  const plain: Entry[] = [file("top/nfrx.exe", large, 0o755), file("top/größe.md", "a page\r\n")];
  writeFileSync(join(folder, "a.zip"), zip(plain, EPOCH, 6));
  run("unzip", "-q", "a.zip", "-d", "zip.d");
  expect(readFileSync(join(folder, "zip.d", "top", "nfrx.exe")).equals(large)).toBe(true);
  expect(readFileSync(join(folder, "zip.d", "top", "größe.md"), "utf8")).toBe("a page\r\n");
  expect(run("unzip", "-Z", "a.zip")).toContain("23-Nov-14 22:13");
  expect(() => zip(entries, EPOCH, 6)).toThrow("no links");
});

test.skipIf(!has("dpkg-deb", "xz"))("a Debian package holds what was put in, and is the same each time", async () => {
  const control = [
    file("control", "Package: trial\nVersion: 1~rc\nArchitecture: all\nMaintainer: a <a@b.example>\nDescription: a\n"),
    file("conffiles", "/etc/trial.env\n"),
  ];
  const data: Entry[] = [
    file("usr/bin/trial", large, 0o755),
    file("etc/trial.env", "A=1\n"),
    { kind: "symlink", path: "usr/sbin/other", to: "../bin/trial" },
  ];
  const trial = { control, data };
  const bytes = await deb(trial, EPOCH, "snapshot");
  const umask = process.umask(0o077);
  try {
    expect(Buffer.from(await deb(trial, EPOCH, "snapshot")).equals(Buffer.from(bytes))).toBe(true);
  } finally {
    process.umask(umask);
  }
  writeFileSync(join(folder, "trial.deb"), bytes);
  expect(run("dpkg-deb", "--field", "trial.deb", "Version")).toBe("1~rc\n");
  const listed = run("dpkg-deb", "--contents", "trial.deb").trim().split("\n");
  expect(listed.map(line => line.replace(/^(\S+ \S+) +\d+ /, "$1 "))).toEqual([
    "drwxr-xr-x root/root 2023-11-14 22:13 ./",
    "drwxr-xr-x root/root 2023-11-14 22:13 ./etc/",
    "-rw-r--r-- root/root 2023-11-14 22:13 ./etc/trial.env",
    "drwxr-xr-x root/root 2023-11-14 22:13 ./usr/",
    "drwxr-xr-x root/root 2023-11-14 22:13 ./usr/bin/",
    "-rwxr-xr-x root/root 2023-11-14 22:13 ./usr/bin/trial",
    "drwxr-xr-x root/root 2023-11-14 22:13 ./usr/sbin/",
    "lrwxrwxrwx root/root 2023-11-14 22:13 ./usr/sbin/other -> ../bin/trial",
  ]);
  run("dpkg-deb", "--raw-extract", "trial.deb", "deb.d");
  expect(run("sh", "-c", "cd deb.d && md5sum -c DEBIAN/md5sums")).toBe("usr/bin/trial: OK\netc/trial.env: OK\n");
});
