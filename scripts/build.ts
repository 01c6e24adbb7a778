// Compiles the five programs, one executable under five names: `bun scripts/build.ts` for this machine into dist/,
// `--all` or `--target=linux-arm64` for others into dist/<target>/.
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { compile } from "./compile.ts";
import { runtime } from "./runtime.ts";
import { stamp } from "./stamp.ts";
import { isTarget, type Target, targetNames } from "./targets.ts";

const root = join(import.meta.dir, "..");

/** The targets asked for; undefined is this machine. */
function wanted(args: string[]): readonly (Target | undefined)[] {
  const { values } = parseArgs({
    args,
    options: {
      all: { type: "boolean", default: false },
      target: { type: "string", multiple: true, default: [] },
    },
  });
  const named = values.target.flatMap(item => item.split(",")).filter(item => item !== "");
  const strangers = named.filter(name => !isTarget(name));
  if (strangers.length > 0) {
    throw new Error(`unknown: ${strangers.join(", ")} — targets are ${targetNames.join(", ")}`);
  }
  if (values.all) return targetNames;
  return named.length > 0 ? named.filter(isTarget) : [undefined];
}

async function main(): Promise<void> {
  const targets = wanted(process.argv.slice(2));
  const mark = stamp();
  console.log(`version=${mark.version} sha=${mark.sha} date=${mark.date} bun=${Bun.version}\n`);
  const width = Math.max(...targetNames.map(name => `dist/${name}/nfrx.exe`.length));
  console.log(`${"file".padEnd(width)}  ${"MB".padStart(6)}  ${"seconds".padStart(7)}`);
  for (const target of targets) {
    await runtime(target); // not part of the program's time
    const start = performance.now();
    const file = await compile(target, join(root, "dist", target ?? ""), mark);
    const seconds = (performance.now() - start) / 1000;
    const name = relative(root, file).padEnd(width);
    console.log(`${name}  ${(Bun.file(file).size / 1e6).toFixed(1).padStart(6)}  ${seconds.toFixed(1).padStart(7)}`);
  }
}

try {
  await main();
} catch (error) {
  // A failed Bun.build throws its messages with their places in the source; anything else says it in one line.
  console.error(error instanceof Error && !(error instanceof AggregateError) ? error.message : error);
  process.exit(1);
}
