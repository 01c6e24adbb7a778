// What lies in dist/release after `npm run release` (with --snapshot or without): that it is whole, and that it runs.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { arch, platform, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PROGRAMS } from "../../cmd/called.ts";
import { archiveName } from "../../scripts/release/archive.ts";
import { fileName, type Target, targetNames } from "../../scripts/targets.ts";

const root = resolve(import.meta.dir, "..", "..");
const release = join(root, "dist", "release");
/** What a program is compiled from. */
const SOURCE = ["src", "cmd", "scripts", "package.json", "package-lock.json", "tsconfig.json", "bunfig.toml"];
const published = readdirSync(release).filter(name => statSync(join(release, name)).isFile() && name !== "SHA256SUMS");
const version = /_v(.+)\.cdx\.json$/m.exec(published.join("\n"))?.[1] ?? "";
/** A snapshot is packed in haste; how small things get is a matter of releases. */
const snapshot = version.includes("snapshot");
const DOWNLOAD_BYTES = 45e6;
const UNPACKED_BYTES = 130e6;
/** Of the package with the executable, and of one without. dpkg-deb has no filter for machine code. */
const DEB_BYTES = { nfrx: 37e6, agent: 100e3 };

/** What `file` says of an executable. */
const FORMATS: Record<Target, RegExp> = {
  "linux-x64": /^ELF 64-bit .*x86-64.*ld-linux-x86-64/,
  "linux-x64-musl": /^ELF 64-bit .*x86-64.*ld-musl-x86_64/,
  "linux-arm64": /^ELF 64-bit .*aarch64.*ld-linux-aarch64/,
  "darwin-x64": /^Mach-O 64-bit x86_64 executable/,
  "darwin-arm64": /^Mach-O 64-bit arm64 executable/,
  "windows-x64": /^PE32\+ executable .*x86-64/,
};

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(...command: string[]): string {
  const env = { PATH: process.env["PATH"] ?? "", LC_ALL: "C" };
  const done = Bun.spawnSync(command, { cwd: folder, env });
  if (done.exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${done.exitCode}: ${done.stderr}`);
  return done.stdout.toString();
}

const archives = targetNames.flatMap(target =>
  published
    .filter(name => name.replace(/\.(tar\.gz|tar\.xz|zip)$/, "") === archiveName(target, version))
    .map(name => ({ target, name })),
);

test("the checksums are those of the files, and there are no others", () => {
  const sums = readFileSync(join(release, "SHA256SUMS"), "utf8").trim().split("\n");
  expect(sums.map(line => line.slice(66)).sort()).toEqual([...published].sort());
  run("sh", "-c", `cd "$1" && sha256sum --check --quiet SHA256SUMS`, "sh", release);
});

test("there is something for the machine that this runs on", () => {
  expect(archives.map(({ target }) => target)).toContain(`${platform()}-${arch()}` as Target);
});

describe.each(archives)("$name", ({ target, name }) => {
  const top = () => join(folder, name, archiveName(target, version));
  const executable = () => join(top(), fileName("nfrx", target));

  beforeAll(() => {
    const archive = join(release, name);
    run("mkdir", name);
    if (name.endsWith(".zip")) run("unzip", "-q", archive, "-d", name);
    else run("tar", "-xf", archive, "-C", name);
  }, 60_000);
  afterAll(() => rmSync(join(folder, name), { recursive: true, force: true }));

  test("holds an executable of its target's format", () => {
    expect(run("file", "--brief", executable())).toMatch(FORMATS[target]);
  });

  test("holds the five programs once, and what belongs to them", () => {
    const found = readdirSync(top());
    for (const file of ["README.md", "CHANGELOG.md", "LICENSE", "COPYRIGHT", "config", "doc"])
      expect(found).toContain(file);
    expect(readdirSync(join(top(), "config"))).toHaveLength(2 * PROGRAMS.length);
    if (target === "windows-x64") {
      for (const program of PROGRAMS.slice(1)) {
        expect(readFileSync(join(top(), `${program}.cmd`), "utf8")).toBe(`@"%~dp0nfrx.exe" ${program} %*\r\n`);
      }
    } else {
      expect(new Set(PROGRAMS.map(program => statSync(join(top(), program)).ino)).size).toBe(1);
      expect(statSync(executable()).mode & 0o777).toBe(0o755);
    }
  });

  test("unpacks to no more than it may, and downloads as one should", () => {
    expect(Number(run("du", "--summarize", "--bytes", top()).split("\t")[0])).toBeLessThan(UNPACKED_BYTES);
    if (name.endsWith(".tar.xz")) expect(statSync(join(release, name)).size).toBeLessThan(DOWNLOAD_BYTES);
  });

  if (platform() === "linux" && target === `linux-${arch()}`) {
    test("runs under each of its names", () => {
      for (const program of PROGRAMS) {
        expect(run(join(top(), program), "--version")).toStartWith(`${program} version=${version} sha=`);
      }
    });
  }

  if (name.endsWith(".gz") && target === `${platform()}-${arch()}`) {
    test("holds the same bytes when the same source is compiled again, in another folder", async () => {
      const copy = join(folder, "source");
      run("mkdir", copy);
      run("cp", "-r", ...SOURCE.map(part => join(root, part)), copy);
      run("cp", "-r", join(root, "node_modules"), copy);
      const stamp = /version=(\S+) sha=(\S+) date=(\S+)/.exec(run(executable(), "--version"));
      const [, made = "", sha = "", date = ""] = stamp ?? [];
      const mark = { version: made, sha, date, epoch: Date.parse(date) / 1000 };
      const script = `import { compile } from "./scripts/compile.ts";
        console.log(await compile(${JSON.stringify(target)}, ${JSON.stringify(join(folder, "again"))}, ${JSON.stringify(mark)}));`;
      // Bun counts chunks' names from where it is started; a release is started in the top folder.
      const file = run("env", "-C", copy, process.execPath, "-e", script).trim();
      expect(readFileSync(file).equals(readFileSync(executable()))).toBeTrue();
    });
  }

  if (target.startsWith("darwin")) {
    test("has a signature that fits", () => {
      expect(wrongPages(readFileSync(executable()))).toEqual([]);
    });
  }
});

/** The pages of a macOS executable whose hash is not the one in its signature. */
function wrongPages(bytes: Buffer): number[] {
  let at = 32;
  let signature = 0;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    if (bytes.readUInt32LE(at) === 0x1d) signature = bytes.readUInt32LE(at + 8);
    at += bytes.readUInt32LE(at + 4);
  }
  expect(bytes.readUInt32BE(signature)).toBe(0xfade0cc0);
  const directory = bytes.subarray(signature + bytes.readUInt32BE(signature + 16));
  const [hashes = 0, pages = 0, limit = 0] = [16, 28, 32].map(field => directory.readUInt32BE(field));
  // Everything before the signature is covered by it.
  expect(limit).toBe(signature);
  expect(pages).toBe(Math.ceil(limit / 4096));
  return Array.from({ length: pages }, (_, page) => page).filter(page => {
    const content = bytes.subarray(page * 4096, Math.min((page + 1) * 4096, limit));
    const hash = new Bun.CryptoHasher("sha256").update(content).digest();
    return !directory.subarray(hashes + 32 * page, hashes + 32 * page + 32).equals(hash);
  });
}

const packages = published.filter(name => name.endsWith(".deb"));

describe.skipIf(packages.length === 0)("the Debian packages", () => {
  const programOf = (name: string): string => name.split("_")[0] ?? "";

  test("are one with the executable for each kind of machine, and one for each agent, which depends on it", () => {
    const brokers = packages.filter(name => programOf(name) === "nfrx");
    const agents = packages.filter(name => name.endsWith("_all.deb"));
    expect([...brokers, ...agents].sort()).toEqual([...packages].sort());
    expect(agents.map(programOf).sort()).toEqual(PROGRAMS.slice(1).sort());
    for (const name of packages) {
      const program = programOf(name);
      const field = (key: string) => run("dpkg-deb", "--field", join(release, name), key).trim();
      expect(field("Package")).toBe(program);
      const agent = program !== "nfrx";
      expect(field("Depends").includes(`nfrx (= ${field("Version")})`)).toBe(agent);
      const sums = run("dpkg-deb", "--info", join(release, name), "md5sums");
      expect(sums.includes(`  usr/bin/${program}\n`)).toBe(!agent);
      expect(sums).toContain(`  usr/share/man/man1/${program}.1.gz\n`);
    }
  });

  test("are small enough to download", () => {
    for (const name of packages.filter(one => !snapshot || programOf(one) !== "nfrx"))
      expect(statSync(join(release, name)).size).toBeLessThan(DEB_BYTES[programOf(name) === "nfrx" ? "nfrx" : "agent"]);
  });
});

const formulas = join(release, "homebrew");

test.skipIf(new Set(archives.map(({ target }) => target)).size < targetNames.length)(
  "the formulas name archives that are here, with their checksums",
  () => {
    const files = readdirSync(formulas);
    expect(files.sort()).toEqual(PROGRAMS.map(program => `${program}.rb`).sort());
    for (const file of files) {
      const text = readFileSync(join(formulas, file), "utf8");
      const pairs = [...text.matchAll(/\/([^/"]+)"\s+sha256 "(\w+)"/g)];
      expect(pairs.length).toBe(4);
      for (const [, name = "", sum] of pairs) {
        expect(new Bun.CryptoHasher("sha256").update(readFileSync(join(release, name))).digest("hex")).toBe(sum ?? "");
      }
      if (Bun.which("ruby")) run("ruby", "-c", join(formulas, file));
    }
  },
);
