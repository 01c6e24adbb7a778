// The Debian packages: nfrx with the executable for one architecture, and one for each agent, which depends on it.
import { join } from "node:path";
import type { Stamp } from "../stamp.ts";
import { copyright, ownCopyright } from "./copyright.ts";
import type { Package } from "./deb.ts";
import { type Entry, type File, file } from "./entry.ts";
import { fill } from "./fill.ts";
import { gzip } from "./gzip.ts";
import type { Package as Dependency } from "./packages.ts";
import { type Service, services, template, unit } from "./services.ts";
import { share } from "./share.ts";

const root = join(import.meta.dir, "..", "..");

/** Target → Debian's name of the architecture. */
export const ARCHITECTURES = { "linux-x64": "amd64", "linux-arm64": "arm64" } as const;

export interface Release {
  readonly stamp: Stamp;
  readonly maintainer: string;
}

/** In Debian's order 0.1.0~rc.1 comes before 0.1.0, as 0.1.0-rc.1 does in ours. */
export const debianVersion = (version: string): string => version.replace("-", "~").replaceAll("-", ".");

/** A package and the name of its file. */
export interface Named {
  readonly name: string;
  readonly contents: Package;
}

interface Executable {
  readonly arch: string;
  readonly bytes: Uint8Array;
  readonly dependencies: readonly Dependency[];
}

/** The broker's package, which has the executable of all five programs. */
export function brokerPackage(release: Release, { arch, bytes, dependencies }: Executable): Promise<Named> {
  const service = services.find(({ name }) => name === "nfrx");
  if (service === undefined) throw new Error("the broker is no service");
  const rights = copyright(dependencies, "/usr/share/common-licenses");
  const files = [
    file("usr/bin/nfrx", bytes, 0o755),
    file("usr/share/lintian/overrides/nfrx", template("debian/lintian-overrides")),
  ];
  return named(service, release, { arch, depends: "adduser, libc6 (>= 2.17), libsystemd0", rights, own: files });
}

/** The agents' packages, the same for every architecture: what differs from program to program, and a link. */
export function agentPackages(release: Release): Promise<Named[]> {
  const depends = `adduser, nfrx (= ${debianVersion(release.stamp.version)})`;
  const agents = services.filter(({ name }) => name !== "nfrx");
  return Promise.all(
    agents.map(service => {
      const link: Entry = { kind: "symlink", path: `usr/bin/${service.name}`, to: "nfrx" };
      return named(service, release, { arch: "all", depends, rights: ownCopyright(), own: [link] });
    }),
  );
}

interface Parts {
  readonly arch: string;
  readonly depends: string;
  readonly rights: string;
  /** What no other package has. */
  readonly own: readonly Entry[];
}

async function named(service: Service, release: Release, parts: Parts): Promise<Named> {
  const { name, config } = service;
  const version = debianVersion(release.stamp.version);
  const data = [...parts.own, ...(await common(service, release, parts.rights))];
  const script = (script: string): File =>
    file(script, fill(template(`debian/${script}`), { NAME: name, CONFIG: config }), 0o755);
  const control = fill(template("debian/control"), {
    NAME: name,
    VERSION: version,
    ARCH: parts.arch,
    MAINTAINER: release.maintainer,
    KIB: `${Math.ceil(data.reduce((sum, entry) => sum + (entry.kind === "file" ? entry.body.length : 0), 0) / 1024)}`,
    DEPENDS: parts.depends,
    TITLE: service.title,
    ABOUT: folded(`This package holds ${name}. ${service.summary}`),
  });
  return {
    name: `${name}_${version}_${parts.arch}.deb`,
    contents: {
      control: [
        file("control", control),
        file("conffiles", `/etc/nfrx/${config}.env\n`),
        ...["postinst", "prerm", "postrm"].map(script),
      ],
      data,
    },
  };
}

/** Lines of a description: at most 80 characters, each after a blank. */
const folded = (text: string): string => text.replaceAll(/(.{1,78})(?: |$)/g, " $1\n").trimEnd();

/** What every package has. */
async function common({ name, config, ...service }: Service, release: Release, rights: string): Promise<File[]> {
  const sample = (ending: string) => Bun.file(join(root, "examples", "config", `${config}.${ending}`)).text();
  const doc = `usr/share/doc/${name}`;
  return [
    file(`etc/nfrx/${config}.env`, await sample("env")),
    file(`usr/lib/systemd/system/${name}.service`, unit({ name, config, ...service }, "/usr/bin")),
    file(`${doc}/copyright`, rights),
    file(`${doc}/changelog.gz`, gzip(Buffer.from(changelog(name, release)))),
    file(`${doc}/examples/${config}.yaml`, await sample("yaml")),
    ...share(release.stamp, [name]).map(installed),
  ];
}

/** Where Debian has a file of share/; manual pages are compressed there. */
function installed(shared: File): File {
  const path = `usr/${shared.path}`;
  return path.includes("/man/") ? file(`${path}.gz`, gzip(shared.body)) : { ...shared, path };
}

/** Debian's form of a changelog; ours is in the archives and on the page of the release. */
function changelog(name: string, { stamp: { version, epoch }, maintainer }: Release): string {
  const date = new Date(epoch * 1000).toUTCString().replace("GMT", "+0000");
  return `${name} (${debianVersion(version)}) unstable; urgency=medium\n\n  * Version ${version}.\n\n -- ${maintainer}  ${date}\n`;
}
