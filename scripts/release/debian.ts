// The Debian package of each program.
import { join } from "node:path";
import type { Stamp } from "../stamp.ts";
import type { Package } from "./deb.ts";
import { type Entry, file } from "./entry.ts";
import { fill } from "./fill.ts";
import { gzip } from "./gzip.ts";
import { type Service, template, unit } from "./services.ts";
import { share } from "./share.ts";

const root = join(import.meta.dir, "..", "..");

/** A target → what Debian calls it. */
export const ARCHITECTURES = { "linux-x64": "amd64", "linux-arm64": "arm64" } as const;

export interface Made {
  readonly stamp: Stamp;
  readonly arch: string;
  readonly executable: Uint8Array;
  readonly maintainer: string;
  /** The page of who holds the rights. */
  readonly copyright: string;
}

/** In Debian's order 0.1.0~rc.1 comes before 0.1.0, as 0.1.0-rc.1 does in ours. */
export const debianVersion = (version: string): string => version.replace("-", "~").replaceAll("-", ".");

export async function debianPackage(service: Service, made: Made): Promise<Package> {
  const data = await contents(service, made);
  const bytes = data.reduce((sum, entry) => sum + (entry.kind === "file" ? entry.body.length : 0), 0);
  const names = { NAME: service.name, CONFIG: service.config, STARTS: service.starts ? "yes" : "no" };
  const script = (name: string): Entry => file(name, fill(template(`debian/${name}`), names), 0o755);
  return {
    control: [
      file(
        "control",
        fill(template("debian/control"), {
          NAME: service.name,
          VERSION: debianVersion(made.stamp.version),
          ARCH: made.arch,
          MAINTAINER: made.maintainer,
          KIB: `${Math.ceil(bytes / 1024)}`,
          TITLE: service.title,
          ABOUT: folded(`This package holds ${service.name}. ${service.summary}`),
        }),
      ),
      file("conffiles", `/etc/nfrx/${service.config}.env\n`),
      ...["postinst", "prerm", "postrm"].map(script),
    ],
    data,
  };
}

/** Lines of a description: at most 80 characters, each after a blank. */
const folded = (text: string): string => text.replaceAll(/(.{1,78})(?: |$)/g, " $1\n").trimEnd();

async function contents(service: Service, made: Made): Promise<Entry[]> {
  const { name, config } = service;
  const sample = (ending: string) => Bun.file(join(root, "examples", "config", `${config}.${ending}`)).text();
  const doc = `usr/share/doc/${name}`;
  return [
    file(`usr/bin/${name}`, made.executable, 0o755),
    file(`etc/nfrx/${config}.env`, await sample("env")),
    file(`usr/lib/systemd/system/${name}.service`, unit(service, "/usr/bin")),
    file(`${doc}/copyright`, made.copyright),
    file(`${doc}/changelog.gz`, gzip(Buffer.from(changelog(name, made)))),
    file(`${doc}/examples/${config}.yaml`, await sample("yaml")),
    file(`usr/share/lintian/overrides/${name}`, fill(template("debian/lintian-overrides"), { NAME: name })),
    ...share(made.stamp, [name]).map(installed),
  ];
}

/** Where Debian has an entry of share/; manual pages are compressed there. */
function installed(entry: Entry): Entry {
  const path = `usr/${entry.path}`;
  if (entry.kind !== "file" || !path.includes("/man/")) return { ...entry, path };
  return { ...entry, path: `${path}.gz`, body: gzip(entry.body) };
}

/** Debian's form of a changelog; ours is in the archives and on the page of the release. */
function changelog(name: string, { stamp: { version, epoch }, maintainer }: Made): string {
  const date = new Date(epoch * 1000).toUTCString().replace("GMT", "+0000");
  return `${name} (${debianVersion(version)}) unstable; urgency=medium\n\n  * Version ${version}.\n\n -- ${maintainer}  ${date}\n`;
}
