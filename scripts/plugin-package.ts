// Makes the npm package for authors of plugins: `npm run plugin-package`, into dist/plugin/.
import { cp, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { stamp } from "./stamp.ts";

const root = join(import.meta.dir, "..");
const room = join(import.meta.dir, "plugin");

/** Writes the package of this source to a folder, which it empties first. */
export async function pluginPackage(out: string, version: string): Promise<void> {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await declarations(join(out, "types"));
  await Bun.build({
    entrypoints: [join(root, "src", "modules", "api.ts")],
    outdir: out,
    naming: "plugin.js",
    target: "node",
    external: Object.keys(packageJson.dependencies),
  });
  await Bun.write(join(out, "package.json"), `${JSON.stringify(manifest(version), null, 2)}\n`);
  await cp(join(room, "README.md"), join(out, "README.md"));
  await cp(join(root, "LICENSE"), join(out, "LICENSE"));
}

function manifest(version: string): object {
  const { name, license, repository, engines, dependencies } = packageJson;
  return {
    name,
    version,
    description: "The interface of nfrx for plugins: types, and what a plugin imports.",
    license,
    repository: { type: "git", url: `git+https://github.com/${repository.replace("github:", "")}.git` },
    type: "module",
    engines,
    exports: { "./plugin": { types: "./types/modules/api.d.ts", default: "./plugin.js" } },
    dependencies: { zod: `^${dependencies.zod}` },
  };
}

/** Writes the declarations of the interface, and of the sources that it stands on. */
async function declarations(outDir: string): Promise<void> {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const done = Bun.spawn([process.execPath, tsc, "-p", room, "--outDir", outDir], {
    stdout: "pipe",
    stderr: "inherit",
  });
  if ((await done.exited) !== 0) throw new Error(await done.stdout.text());
}

if (import.meta.main) {
  const { version } = stamp();
  await pluginPackage(join(root, "dist", "plugin"), version);
  console.log(`dist/plugin: nfrx@${version}`);
}
