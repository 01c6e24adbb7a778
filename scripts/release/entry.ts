// What lies in an archive, whatever its format.

export interface File {
  readonly kind: "file";
  readonly path: string;
  readonly mode: number;
  readonly body: Uint8Array;
}

/** One entry; its owner is root and its time that of the release. A hard link names an entry before it. */
export type Entry =
  | File
  | { readonly kind: "folder"; readonly path: string; readonly mode: number }
  | { readonly kind: "hardlink" | "symlink"; readonly path: string; readonly to: string };

export const file = (path: string, body: string | Uint8Array, mode = 0o644): File => ({
  kind: "file",
  path,
  mode,
  body: typeof body === "string" ? Buffer.from(body) : body,
});

/** The entries with the folders that they lie in before them, in the order of their paths. */
export function withFolders(entries: readonly Entry[], prefix: string): Entry[] {
  const folders = new Set<string>();
  for (const { path } of entries) {
    const names = path.split("/").slice(0, -1);
    for (const [index] of names.entries()) folders.add(names.slice(0, index + 1).join("/"));
  }
  const all: Entry[] = [
    ...[...folders].map((path): Entry => ({ kind: "folder", path, mode: 0o755 })),
    ...entries.filter(({ kind, path }) => kind !== "folder" || !folders.has(path)),
  ];
  const sorted = all.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return sorted.map(entry => ({
    ...entry,
    path: `${prefix}${entry.path}`,
    ...(entry.kind === "hardlink" ? { to: `${prefix}${entry.to}` } : {}),
  }));
}
