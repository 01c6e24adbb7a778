// Makes a release: everything that is published, in dist/release/. `npm run release` from a clean tag; with --snapshot
// from any state, faster and larger. `--target=linux-x64` makes the archives and packages of some targets alone.
// Needs git, npm, xz and dpkg-deb. The same commit gives the same bytes, with the same versions of Bun, npm, xz and dpkg-deb.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { compile } from "./compile.ts";
import { archive, archiveName } from "./release/archive.ts";
import { copyright } from "./release/copyright.ts";
import { deb } from "./release/deb.ts";
import { ARCHITECTURES, agentPackages, brokerPackage } from "./release/debian.ts";
import { formula } from "./release/formula.ts";
import { gzip } from "./release/gzip.ts";
import { releaseNotes } from "./release/notes.ts";
import { bundledPackages } from "./release/packages.ts";
import { sbom } from "./release/sbom.ts";
import { services } from "./release/services.ts";
import { tar } from "./release/tar.ts";
import { type Effort, xz } from "./release/xz.ts";
import { zip } from "./release/zip.ts";
import { git, type Stamp, stamp } from "./stamp.ts";
import { isTarget, type Target, targetNames } from "./targets.ts";

const root = join(import.meta.dir, "..");
const out = join(root, "dist", "release");
const MAINTAINER = process.env["NFRX_MAINTAINER"] || "The nfrx authors <nfrx@users.noreply.github.com>";
/** Under whose name the archives are published: on GitHub, the repository that the workflow runs in. */
const REPOSITORY = process.env["GITHUB_REPOSITORY"] || "nfrx/nfrx";
const DEFLATE = { release: 12, snapshot: 6 } as const;

/** The stamp of a release. Throws when the source is not at a clean tag of its version and no snapshot is wanted. */
function released(snapshot: boolean): Stamp {
  const mark = stamp();
  if (snapshot) {
    const version = process.env["NFRX_VERSION"] || `${mark.version}-snapshot.${mark.sha.replace("-", ".")}`;
    return { ...mark, version };
  }
  const tags = git("tag", "--points-at", "HEAD")?.split("\n") ?? [];
  if (mark.sha === "unknown" || mark.sha.endsWith("-dirty"))
    throw new Error("there are changes that are not committed");
  if (!tags.includes(`v${mark.version}`))
    throw new Error(`this commit has no tag v${mark.version}; --snapshot needs none`);
  return mark;
}

/** Collects what is published, with its checksums. */
class Published {
  readonly sums = new Map<string, string>();

  async add(name: string, bytes: Uint8Array | string): Promise<string> {
    await Bun.write(join(out, name), bytes);
    const sum = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
    this.sums.set(name, sum);
    console.log(`${(bytes.length / 1e6).toFixed(2).padStart(8)} MB  ${name}`);
    return sum;
  }

  /** As `sha256sum --check` reads them. */
  get page(): string {
    return [...this.sums]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, sum]) => `${sum}  ${name}\n`)
      .join("");
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { snapshot: { type: "boolean", default: false }, target: { type: "string", multiple: true, default: [] } },
  });
  const named = values.target.flatMap(item => item.split(","));
  const strangers = named.filter(name => !isTarget(name));
  if (strangers.length > 0) throw new Error(`unknown: ${strangers.join(", ")} — targets are ${targetNames.join(", ")}`);
  const targets = named.length > 0 ? named.filter(isTarget) : targetNames;
  const mark = released(values.snapshot);
  const effort = values.snapshot ? "snapshot" : "release";
  console.log(`version=${mark.version} sha=${mark.sha} date=${mark.date} bun=${Bun.version}\n`);

  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const packages = bundledPackages();
  const published = new Published();
  const archives = new Map<Target, string>();
  const waiting = [...targets];
  const publishAll = async (): Promise<void> => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift())
      archives.set(target, await publish(target, mark, { published, effort, packages }));
  };
  // Two at a time: one compiles while xz compresses the other.
  const both = [publishAll(), publishAll()];
  try {
    await Promise.all(both);
  } finally {
    // When one has failed, the other clears up before the program ends.
    waiting.length = 0;
    await Promise.allSettled(both);
  }
  if (targets.some(target => target in ARCHITECTURES)) {
    for (const { name, contents } of await agentPackages({ stamp: mark, maintainer: MAINTAINER }))
      await published.add(name, await deb(contents, mark.epoch, effort));
  }
  await published.add(`nfrx_v${mark.version}.cdx.json`, sbom(mark, packages));
  await published.add(
    "RELEASE_NOTES.md",
    releaseNotes(await Bun.file(join(root, "CHANGELOG.md")).text(), mark.version),
  );
  await Bun.write(join(out, "SHA256SUMS"), published.page);
  // A formula names the archives of four targets.
  if (targets.length < targetNames.length) return;
  const text = await Bun.file(join(root, "packaging", "homebrew", "formula.rb")).text();
  for (const service of services) {
    const filled = formula(text, service, { version: mark.version, repository: REPOSITORY, sums: archives });
    await Bun.write(join(out, "homebrew", `${service.name}.rb`), filled);
  }
}

interface Room {
  readonly published: Published;
  readonly effort: Effort;
  readonly packages: ReturnType<typeof bundledPackages>;
}

/** The archives and packages of a target; the checksum of the archive that formulas name. */
async function publish(target: Target, mark: Stamp, { published, effort, packages }: Room): Promise<string> {
  const { version, epoch } = mark;
  const work = await mkdtemp(join(tmpdir(), "nfrx-release-"));
  try {
    const executable = await Bun.file(await compile(target, work, mark)).bytes();
    const entries = await archive(target, mark, executable, copyright(packages, "licenses"));
    const name = archiveName(target, version);
    const level = DEFLATE[effort];
    if (target.startsWith("windows")) return await published.add(`${name}.zip`, zip(entries, epoch, level));
    const code = target.includes("arm64") ? "arm64" : "x64";
    const bytes = Buffer.concat(tar(entries, epoch));
    await published.add(`${name}.tar.gz`, gzip(bytes, level));
    const sum = await published.add(`${name}.tar.xz`, await xz(bytes, code, effort));
    if (target === "linux-x64" || target === "linux-arm64") {
      const release = { stamp: mark, maintainer: MAINTAINER };
      const made = { arch: ARCHITECTURES[target], bytes: executable, dependencies: packages };
      const broker = await brokerPackage(release, made);
      await published.add(broker.name, await deb(broker.contents, epoch, effort));
    }
    return sum;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error && !(error instanceof AggregateError) ? error.message : error);
  process.exit(1);
}
