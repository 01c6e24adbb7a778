// The packages that are in the executable, out of the lock file.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const root = join(import.meta.dir, "..", "..");

const named = z.record(z.string(), z.string()).default({});
const locked = z.object({
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().default(""),
      license: z.string().default(""),
      dependencies: named,
      peerDependencies: named,
      peerDependenciesMeta: z.record(z.string(), z.object({ optional: z.boolean().default(false) })).default({}),
    }),
  ),
});

/** A package of npm's. */
export interface Package {
  readonly name: string;
  readonly version: string;
  /** SPDX expression. */
  readonly license: string;
  /** The text of its licence, where it has one. */
  readonly text: string | undefined;
}

/** What nfrx stands on, directly or not, by name; its optional peers and the packages for work on nfrx are not in it. */
export function bundledPackages(lockFile = readFileSync(join(root, "package-lock.json"), "utf8")): Package[] {
  const { packages } = locked.parse(JSON.parse(lockFile));
  const found = new Map<string, Package>();
  const add = (name: string): void => {
    const entry = packages[`node_modules/${name}`];
    if (found.has(name)) return;
    if (entry === undefined) throw new Error(`${name} is not in package-lock.json`);
    const { version, license, dependencies, peerDependencies, peerDependenciesMeta } = entry;
    found.set(name, { name, version, license, text: licenceText(name) });
    const peers = Object.keys(peerDependencies).filter(peer => peerDependenciesMeta[peer]?.optional !== true);
    for (const next of [...Object.keys(dependencies), ...peers]) add(next);
  };
  for (const name of Object.keys(packages[""]?.dependencies ?? {})) add(name);
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

function licenceText(name: string): string | undefined {
  const folder = join(root, "node_modules", name);
  if (!existsSync(folder)) return undefined;
  const file = readdirSync(folder)
    .filter(entry => /^licen[cs]e(\.|-mit|$)/i.test(entry))
    .sort()[0];
  return file === undefined ? undefined : readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim();
}
