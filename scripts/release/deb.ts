// A Debian package (deb(5)): an ar archive of two tar archives. Written here and not by dpkg-deb, which would compress
// the same executable again for each package.
import { type Entry, withFolders } from "./entry.ts";
import { tar } from "./tar.ts";
import type { Code, Xz } from "./xz.ts";

export interface Package {
  /** Of the control archive: control, conffiles, postinst and so on; `md5sums` is added. */
  readonly control: readonly Entry[];
  /** What is installed, by its path without the first slash. */
  readonly data: readonly Entry[];
}

/** The package's bytes; every file in them has the time `epoch`, in seconds. */
export async function deb({ control, data }: Package, epoch: number, xz: Xz, code: Code): Promise<Uint8Array> {
  const sums = data.flatMap(entry => (entry.kind === "file" ? [`${md5(entry.body)}  ${entry.path}\n`] : []));
  const md5sums: Entry = { kind: "file", path: "md5sums", mode: 0o644, body: Buffer.from(sums.sort(byPath).join("")) };
  const packed = (entries: readonly Entry[]) => xz.compress(tar(rooted(entries), epoch), code);
  return Buffer.concat([
    Buffer.from("!<arch>\n"),
    ...member("debian-binary", Buffer.from("2.0\n"), epoch),
    ...member("control.tar.xz", await packed([...control, md5sums]), epoch),
    ...member("data.tar.xz", await packed(data), epoch),
  ]);
}

const byPath = (a: string, b: string): number => (a.slice(34) < b.slice(34) ? -1 : 1);

const rooted = (entries: readonly Entry[]): Entry[] => [
  { kind: "folder", path: ".", mode: 0o755 },
  ...withFolders(entries, "./"),
];

const md5 = (bytes: Uint8Array): string => new Bun.CryptoHasher("md5").update(bytes).digest("hex");

function member(name: string, body: Uint8Array, epoch: number): Uint8Array[] {
  const fields = [name.padEnd(16), `${epoch}`.padEnd(12), "0     ", "0     ", "100644  ", `${body.length}`.padEnd(10)];
  return [Buffer.from(`${fields.join("")}\`\n`), body, Buffer.from(body.length % 2 === 1 ? "\n" : "")];
}
