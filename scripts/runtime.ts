// The Bun executable that a program is compiled into.
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { trimIcu } from "./icu.ts";
import { type Target, targets } from "./targets.ts";

const root = join(import.meta.dir, "..");
/** Named in the path of what is kept; a change of what is trimmed is a new number. */
const TRIM = 1;

/** The runtime of a target, or of this machine, without what nfrx does not need of it. Made once and kept. */
export async function runtime(target: Target | undefined): Promise<string> {
  const folder = join(await cacheFolder(), target ?? "here");
  const windows = target === undefined ? process.platform === "win32" : target.startsWith("windows");
  const executable = join(folder, windows ? `bun-${TRIM}.exe` : `bun-${TRIM}`);
  if (existsSync(executable)) return executable;
  const bytes = target === undefined ? await Bun.file(process.execPath).bytes() : await fetched(target);
  trimIcu(bytes);
  await mkdir(folder, { recursive: true });
  const work = `${executable}.${process.pid}`;
  await Bun.write(work, bytes);
  await chmod(work, 0o755);
  await rename(work, executable);
  return executable;
}

/** Where the runtimes of this version of Bun are kept; those of others are thrown away. */
async function cacheFolder(): Promise<string> {
  const cache = join(root, "node_modules", ".cache", "bun-runtimes");
  const folder = join(cache, Bun.version);
  await mkdir(folder, { recursive: true });
  for (const version of await readdir(cache)) {
    if (version !== Bun.version) await rm(join(cache, version), { recursive: true, force: true });
  }
  return folder;
}

/**
 * Fetched by npm, which knows this machine's registry and proxy and checks what it downloads. Bun's own download for
 * --compile ignores npm's settings.
 */
async function fetched(target: Target): Promise<Uint8Array> {
  const name = targets[target];
  lockedIntegrity(await readLock(), name); // before anything is downloaded
  const work = await mkdtemp(join(await cacheFolder(), ".fetch-"));
  try {
    const npm = Bun.spawn(
      [Bun.which("npm") ?? "npm", "pack", "--silent", `${name}@${Bun.version}`, "--pack-destination", work],
      { cwd: root, stdin: "ignore", stdout: "ignore", stderr: "inherit", timeout: 300_000 },
    );
    if ((await npm.exited) !== 0) throw new Error(`npm pack ${name}@${Bun.version} failed`);
    const [tarball] = (await readdir(work)).filter(file => file.endsWith(".tgz"));
    if (tarball === undefined) throw new Error(`npm pack ${name}@${Bun.version} left no file`);
    const bytes = await Bun.file(join(work, tarball)).bytes();
    await checkLocked(name, bytes);
    await new Bun.Archive(bytes).extract(work);
    return await Bun.file(join(work, "package", "bin", target.startsWith("windows") ? "bun.exe" : "bun")).bytes();
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Throws unless the package is the very one that package-lock.json names. */
async function checkLocked(name: string, bytes: Uint8Array): Promise<void> {
  const found = `sha512-${new Bun.CryptoHasher("sha512").update(bytes).digest("base64")}`;
  const wanted = lockedIntegrity(await readLock(), name);
  if (found !== wanted) throw new Error(`${name}: the package is not the one in package-lock.json`);
}

const readLock = (): Promise<Lock> => Bun.file(join(root, "package-lock.json")).json();

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly integrity?: string }>>;
}

/** The checksum that the lock file has for a runtime of this Bun. Throws when it has none: nothing else can be compiled in. */
export function lockedIntegrity({ packages }: Lock, name: string, version = Bun.version): string {
  const entry = packages[`node_modules/${name}`];
  if (entry?.version !== version || entry.integrity === undefined)
    throw new Error(`${name}@${version} is not in package-lock.json, so its bytes cannot be checked`);
  return entry.integrity;
}
