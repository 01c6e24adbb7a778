// Everything that a broker keeps, as one file: made while it runs, put back while it does not.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";

/** A store whose copy goes into a backup. */
export interface BackedUp {
  /** Its name in the archive. */
  readonly name: string;
  /** Writes a copy, which is whole at one moment, to a new file. */
  copyTo(file: string): Promise<void>;
}

/** The names of the stores in an archive, as those of their usual files. */
export const KEYS_FILE = "nfrx.db";
export const JOBS_FILE = "jobs.db";

/** A store by its name in the archive. */
export function named(name: string, store: Pick<BackedUp, "copyTo">): BackedUp {
  return { name, copyTo: file => store.copyTo(file) };
}

const MANIFEST = "manifest.json";
const manifestShape = z.object({ format: z.literal(1), made_at: z.iso.datetime(), files: z.array(z.string()) });

/** An archive (tar) with a copy of each store, and a manifest. The copies are made in `folder`, which must be private, and deleted. */
export async function makeBackup(stores: readonly BackedUp[], folder: string, now: number): Promise<Uint8Array> {
  const work = mkdtempSync(join(folder, "backup-"));
  try {
    const files: Record<string, string | Uint8Array> = {};
    for (const store of stores) {
      const copy = join(work, store.name);
      await store.copyTo(copy);
      files[store.name] = readFileSync(copy);
    }
    const manifest = { format: 1, made_at: new Date(now).toISOString(), files: stores.map(({ name }) => name) };
    return await new Bun.Archive({ [MANIFEST]: JSON.stringify(manifest), ...files }).bytes();
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Where the content of an archive goes: the file of each store by its name. */
export type RestoreTargets = Readonly<Record<string, string>>;

/**
 * Puts the files of a backup where they belong, and says which. Throws, before anything is written, when the archive is none of
 * ours, or when a file is there already.
 */
export async function restoreBackup(archive: Uint8Array, targets: RestoreTargets): Promise<string[]> {
  const files = await new Bun.Archive(archive).files().catch(() => new Map<string, File>());
  const manifest = manifestShape.safeParse(JSON.parse((await files.get(MANIFEST)?.text()) ?? "null"));
  if (!manifest.success) throw new Error("it is not a backup of nfrx");
  const wanted = manifest.data.files.map(name => {
    const target = Object.hasOwn(targets, name) ? targets[name] : undefined;
    const file = files.get(name);
    if (target === undefined || file === undefined)
      throw new Error(`it holds ${name}, which this version does not know`);
    // A log of the old database would be read as the new one's.
    const there = [target, `${target}-wal`, `${target}-journal`].find(path => existsSync(path));
    if (there !== undefined) throw new Error(`${there} exists: move it away first`);
    return { target, file };
  });
  for (const { target, file } of wanted) {
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    writeFileSync(target, await file.bytes(), { mode: 0o600, flag: "wx" });
  }
  return wanted.map(({ target }) => target);
}
