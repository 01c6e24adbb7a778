// What is in the archive of a target: one executable for all five programs, and what belongs to it.
import { join } from "node:path";
import { Glob } from "bun";
import { PROGRAMS } from "../../cmd/called.ts";
import type { Stamp } from "../stamp.ts";
import { fileName, type Target } from "../targets.ts";
import { COMMON } from "./copyright.ts";
import { type Entry, file, withFolders } from "./entry.ts";
import { services, unit } from "./services.ts";
import { share } from "./share.ts";

const root = join(import.meta.dir, "..", "..");

/** `nfrx_linux_x64_v0.1.0`: the name of the archive, and of the folder in it. */
export function archiveName(target: Target, version: string): string {
  const [system, ...machine] = target.split("-");
  return `nfrx_${system}_${machine.join("-")}_v${version}`;
}

export async function archive(target: Target, stamp: Stamp, executable: Uint8Array, rights: string): Promise<Entry[]> {
  const windows = target.startsWith("windows");
  const copied = async (from: string, to = from): Promise<Entry> => file(to, await Bun.file(join(root, from)).bytes());
  const folder = (from: string, to = `${from}/`) =>
    Promise.all([...new Glob("**").scanSync(join(root, from))].map(name => copied(`${from}/${name}`, `${to}${name}`)));
  const entries = [
    file(fileName("nfrx", target), executable, 0o755),
    ...PROGRAMS.filter(name => name !== "nfrx").map(windows ? shim : hardLink),
    ...(await Promise.all(["README.md", "CHANGELOG.md", "LICENSE"].map(name => copied(name)))),
    file("COPYRIGHT", rights),
    ...(await Promise.all(COMMON.map(name => copied(`packaging/licenses/${name}`, `licenses/${name}`)))),
    ...(await folder("examples/config", "config/")),
    ...(await folder("doc")),
    ...(target.startsWith("linux")
      ? services.map(service => file(`systemd/${service.name}.service`, unit(service, "/usr/local/bin")))
      : []),
    ...(target.startsWith("darwin") ? await folder("packaging/launchd", "launchd/") : []),
    ...(windows ? await folder("packaging/windows", "") : share(stamp, PROGRAMS)),
  ];
  return withFolders(windows ? entries.map(withCrLf) : entries, `${archiveName(target, stamp.version)}/`);
}

const hardLink = (name: string): Entry => ({ kind: "hardlink", path: name, to: "nfrx" });

/** zip has no links: a line for the command interpreter, which names the program to the executable. */
const shim = (name: string): Entry => file(`${name}.cmd`, `@"%~dp0nfrx.exe" ${name} %*\n`);

/** Windows' own tools want their own line ends; UTF-8 they know. */
function withCrLf(entry: Entry): Entry {
  if (entry.kind !== "file" || entry.path.endsWith(".exe")) return entry;
  return { ...entry, body: Buffer.from(Buffer.from(entry.body).toString().replaceAll("\n", "\r\n")) };
}
