// Compiles nfrx for one target: one executable, linked under the names of the five programs.
import { link, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { PROGRAMS } from "../cmd/called.ts";
import { lean } from "./lean.ts";
import { signAdHoc } from "./macho.ts";
import { runtime } from "./runtime.ts";
import type { Stamp } from "./stamp.ts";
import { fileName, type Target } from "./targets.ts";

const root = join(import.meta.dir, "..");

/** Writes the five programs into `folder`, hard links of one file, and returns the path of the broker's. No target: this machine. */
export async function compile(target: Target | undefined, folder: string, stamp: Stamp): Promise<string> {
  const outfile = join(folder, fileName("nfrx", target));
  await mkdir(folder, { recursive: true });
  // Written in place, a file of a former build would change under the names of programs that still run.
  for (const name of PROGRAMS) await rm(join(folder, fileName(name, target)), { force: true });
  const { outputs } = await Bun.build({
    entrypoints: [join(root, "cmd", "all.ts")],
    compile: {
      outfile,
      // Collects garbage earlier: bulk then needs a fifth less memory, at no cost in CPU time that the bench could see.
      execArgv: ["--smol"],
      executablePath: await runtime(target),
      ...(target === undefined ? {} : { target: `bun-${target}` as const }),
      // A program must not pick up files that happen to lie where it is started.
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
    plugins: [lean],
    external: ["file-type"], // Elysia looks for it when a route takes a file by its type; none does
    target: "bun",
    format: "esm", // bytecode alone means cjs, which bakes the build path in
    bytecode: true,
    splitting: true, // a program loads its own parts alone
    minify: { whitespace: true, syntax: true, identifiers: false }, // renaming breaks Elysia, which reads handlers' source
    sourcemap: "linked",
    define: {
      NFRX_VERSION: JSON.stringify(stamp.version),
      NFRX_SHA: JSON.stringify(stamp.sha),
      NFRX_DATE: JSON.stringify(stamp.date),
      // Packages in CommonJS would have the build machine's folders baked in.
      __dirname: JSON.stringify("/$bunfs/root"),
      __filename: JSON.stringify("/$bunfs/root/nfrx"),
    },
  });
  if (target === "darwin-x64") await Bun.write(outfile, signAdHoc(await Bun.file(outfile).bytes()));
  // The maps are inside the executable too.
  for (const output of outputs) if (output.kind === "sourcemap") await rm(output.path, { force: true });
  for (const name of PROGRAMS) if (name !== "nfrx") await link(outfile, join(folder, fileName(name, target)));
  return outfile;
}
