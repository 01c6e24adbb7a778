// Compiles the five programs into single files: `bun scripts/build.ts` for this machine into dist/, `--all` or
// `--target=linux-arm64` for others into dist/<target>/, `--only=nfrx,nfrx-llm` for some of the programs.
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { type Stamp, stamp } from "./stamp.ts";

const root = join(import.meta.dir, "..");
const programs = ["nfrx", "nfrx-llm", "nfrx-mcp", "nfrx-asr", "nfrx-docling"];

/**
 * Our name of a target → Bun's npm package with that target's runtime. In Bun 1.4.5 the baseline package holds the same
 * bytes as the normal one, which runs without AVX too; it is built from its own package so that this stays Bun's affair.
 */
const targets = {
  "linux-x64": "@oven/bun-linux-x64",
  "linux-x64-baseline": "@oven/bun-linux-x64-baseline",
  "linux-x64-musl": "@oven/bun-linux-x64-musl",
  "linux-arm64": "@oven/bun-linux-aarch64",
  "darwin-x64": "@oven/bun-darwin-x64",
  "darwin-arm64": "@oven/bun-darwin-aarch64",
  "windows-x64": "@oven/bun-windows-x64",
} as const;
type Target = keyof typeof targets;
const targetNames = Object.keys(targets).filter(isTarget);

function isTarget(name: string): name is Target {
  return Object.hasOwn(targets, name);
}

interface Plan {
  readonly programs: readonly string[];
  /** Empty: this machine. */
  readonly targets: readonly Target[];
}

function plan(args: string[]): Plan {
  const { values } = parseArgs({
    args,
    options: {
      all: { type: "boolean", default: false },
      target: { type: "string", multiple: true, default: [] },
      only: { type: "string", multiple: true, default: [] },
    },
  });
  const list = (given: string[]) => given.flatMap(item => item.split(",")).filter(item => item !== "");
  const named = list(values.target).map(name => name.replace(/^bun-/, ""));
  const only = list(values.only);
  const strangers = [...named.filter(name => !isTarget(name)), ...only.filter(name => !programs.includes(name))];
  if (strangers.length > 0) {
    throw new Error(
      `unknown: ${strangers.join(", ")} — targets are ${targetNames.join(", ")}; programs are ${programs.join(", ")}`,
    );
  }
  return {
    programs: only.length > 0 ? programs.filter(name => only.includes(name)) : programs,
    targets: values.all ? targetNames : named.filter(isTarget),
  };
}

/**
 * The Bun executable of another target, fetched once by npm, which knows this machine's registry and proxy and checks
 * what it downloads. Bun's own download for --compile ignores npm's settings.
 */
async function runtime(target: Target): Promise<string> {
  const name = targets[target];
  const cache = join(root, "node_modules", ".cache", "bun-runtimes");
  const folder = join(cache, Bun.version, target);
  const executable = join(folder, "package", "bin", target.startsWith("windows") ? "bun.exe" : "bun");
  if (existsSync(executable)) return executable;

  await mkdir(join(cache, Bun.version), { recursive: true });
  for (const version of await readdir(cache)) {
    if (version !== Bun.version) await rm(join(cache, version), { recursive: true, force: true });
  }
  const work = await mkdtemp(join(cache, Bun.version, ".fetch-"));
  try {
    const npm = Bun.spawn(
      [Bun.which("npm") ?? "npm", "pack", "--silent", `${name}@${Bun.version}`, "--pack-destination", work],
      {
        cwd: root,
        stdin: "ignore",
        stdout: "ignore",
        stderr: "inherit",
        timeout: 300_000,
      },
    );
    if ((await npm.exited) !== 0) throw new Error(`npm pack ${name}@${Bun.version} failed`);
    const [tarball] = (await readdir(work)).filter(file => file.endsWith(".tgz"));
    if (tarball === undefined) throw new Error(`npm pack ${name}@${Bun.version} left no file`);
    const bytes = await Bun.file(join(work, tarball)).bytes();
    await checkLocked(name, bytes);
    await new Bun.Archive(bytes).extract(work);
    await rm(join(work, tarball));
    await rm(folder, { recursive: true, force: true });
    await rename(work, folder);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return executable;
}

/** The lock file names most of the runtimes, as optional parts of the bun package: they must be those very bytes. */
async function checkLocked(name: string, bytes: Uint8Array): Promise<void> {
  const lock: { packages: Record<string, { version?: string; integrity?: string }> } = await Bun.file(
    join(root, "package-lock.json"),
  ).json();
  const entry = lock.packages[`node_modules/${name}`];
  if (entry?.version !== Bun.version || entry.integrity === undefined) return;
  const found = `sha512-${new Bun.CryptoHasher("sha512").update(bytes).digest("base64")}`;
  if (found !== entry.integrity) throw new Error(`${name}: the package is not the one in package-lock.json`);
}

async function compile(program: string, target: Target | undefined, { version, sha, date }: Stamp): Promise<string> {
  const windows = target === undefined ? process.platform === "win32" : target.startsWith("windows");
  const outfile = join(root, "dist", target ?? "", windows ? `${program}.exe` : program);
  await mkdir(join(outfile, ".."), { recursive: true });
  const { outputs } = await Bun.build({
    entrypoints: [join(root, "cmd", `${program}.ts`)],
    compile: {
      outfile,
      // Collects garbage earlier: bulk then needs a fifth less memory, at no cost in CPU time that the bench could see.
      execArgv: ["--smol"],
      ...(target === undefined ? {} : { target: `bun-${target}` as const, executablePath: await runtime(target) }),
      // A program must not pick up files that happen to lie where it is started.
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
    target: "bun",
    format: "esm", // bytecode alone means cjs, which bakes the build path in
    bytecode: true,
    minify: { whitespace: true, syntax: true, identifiers: false }, // renaming breaks Elysia, which reads handlers' source
    sourcemap: "linked",
    define: {
      NFRX_VERSION: JSON.stringify(version),
      NFRX_SHA: JSON.stringify(sha),
      NFRX_DATE: JSON.stringify(date),
      // Packages in CommonJS would have the build machine's folders baked in.
      __dirname: JSON.stringify("/$bunfs/root"),
      __filename: JSON.stringify(`/$bunfs/root/${program}`),
    },
  });
  // The map is inside the executable too.
  for (const output of outputs) if (output.kind === "sourcemap") await rm(output.path, { force: true });
  return outfile;
}

async function main(): Promise<void> {
  const wanted = plan(process.argv.slice(2));
  const mark = stamp();
  console.log(`version=${mark.version} sha=${mark.sha} date=${mark.date} bun=${Bun.version}\n`);
  const width = Math.max(...targetNames.map(name => `dist/${name}/nfrx-docling.exe`.length));
  console.log(`${"file".padEnd(width)}  ${"MB".padStart(6)}  ${"seconds".padStart(7)}`);
  for (const target of wanted.targets.length > 0 ? wanted.targets : [undefined]) {
    if (target !== undefined) await runtime(target); // not part of the first program's time
    for (const program of wanted.programs) {
      const start = performance.now();
      const file = await compile(program, target, mark);
      const seconds = (performance.now() - start) / 1000;
      const name = relative(root, file).padEnd(width);
      console.log(`${name}  ${(Bun.file(file).size / 1e6).toFixed(1).padStart(6)}  ${seconds.toFixed(1).padStart(7)}`);
    }
  }
}

try {
  await main();
} catch (error) {
  // A failed Bun.build throws its messages with their places in the source; anything else says it in one line.
  console.error(error instanceof Error && !(error instanceof AggregateError) ? error.message : error);
  process.exit(1);
}
