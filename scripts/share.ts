// Writes what a package puts below /usr/share, made from the declarations: manual pages and completions, into dist/share.
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { programs } from "../cmd/programs.ts";
import { bashCompletion, fishCompletion, zshCompletion } from "../src/config/completion.ts";
import { manPage } from "../src/config/man.ts";
import type { Program } from "../src/config/program.ts";
import { stamp } from "./stamp.ts";

const folder = join(import.meta.dir, "..", "dist", "share");

/** Every file, by its path below the folder. */
export function shared(build: Program["build"]): Map<string, string> {
  return new Map(
    programs.flatMap(program => [
      [`man/man1/${program.name}.1`, manPage({ ...program, build }, programs)],
      [`bash-completion/completions/${program.name}`, bashCompletion(program)],
      [`zsh/vendor-completions/_${program.name}`, zshCompletion(program)],
      [`fish/vendor_completions.d/${program.name}.fish`, fishCompletion(program)],
    ]),
  );
}

if (import.meta.main) {
  await rm(folder, { recursive: true, force: true });
  for (const [path, text] of shared(stamp())) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  console.log(`wrote ${folder}`);
}
