// Debian packages, written by dpkg-deb.
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Entry, type File, withFolders } from "./entry.ts";
import type { Effort } from "./xz.ts";

export interface Package {
  /** The control archive: control, conffiles, maintainer scripts. `deb` adds md5sums. */
  readonly control: readonly File[];
  /** The installed files and symbolic links. Paths have no leading slash. */
  readonly data: readonly Entry[];
}

/** One thread and one block: the same input gives the same bytes. */
const COMPRESSION = { release: ["-Zxz", "-z9"], snapshot: ["-Zgzip", "-z1"] } as const;

/** The package's bytes. Every file in them has the time `epoch`, in seconds. Rejects when dpkg-deb is missing or fails. */
export async function deb({ control, data }: Package, epoch: number, effort: Effort): Promise<Uint8Array> {
  const work = await mkdtemp(join(tmpdir(), "nfrx-deb-"));
  try {
    const root = join(work, "root");
    const entries = [...data, ...[...control, md5sums(data)].map(file => ({ ...file, path: `DEBIAN/${file.path}` }))];
    for (const entry of [{ kind: "folder", path: ".", mode: 0o755 } as const, ...withFolders(entries, "")])
      await place(entry, root);
    const built = join(work, "built.deb");
    const args = ["--root-owner-group", ...COMPRESSION[effort], "--build", root, built];
    // dpkg-deb sets every later time to this one.
    const env = { ...process.env, SOURCE_DATE_EPOCH: `${epoch}`, DPKG_DEB_THREADS_MAX: "1" };
    const run = Bun.spawn(["dpkg-deb", ...args], { env, stdout: "ignore", stderr: "inherit" });
    if ((await run.exited) !== 0) throw new Error("dpkg-deb failed");
    return await Bun.file(built).bytes();
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function place(entry: Entry, root: string): Promise<void> {
  const path = join(root, entry.path);
  if (entry.kind === "folder") await mkdir(path);
  if (entry.kind === "file") await writeFile(path, entry.body);
  if (entry.kind === "symlink") await symlink(entry.to, path);
  if ("mode" in entry) await chmod(path, entry.mode); // whatever the umask is
}

function md5sums(data: readonly Entry[]): File {
  const sum = (body: Uint8Array): string => new Bun.CryptoHasher("md5").update(body).digest("hex");
  const lines = data.flatMap(entry => (entry.kind === "file" ? [`${sum(entry.body)}  ${entry.path}\n`] : []));
  return { kind: "file", path: "md5sums", mode: 0o644, body: Buffer.from(lines.join("")) };
}
