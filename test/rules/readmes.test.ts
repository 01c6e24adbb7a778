// READMEs under src/ name only what is there, and every room has one.
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const root = join(import.meta.dir, "..", "..");

/** Folders of src/ whose README tells the journey of one thing through them. */
const TOLD = [
  "protocol",
  "modules",
  "agent",
  "agent/providers",
  "broker",
  "broker/http",
  "broker/jobs",
  "broker/observe",
  "broker/pool",
  "broker/proxy",
];

/** What a page names in back-ticks that can only be a file or a folder of the repository. */
function namedIn(text: string): string[] {
  const code = text.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/`([\w.-]+(?:\/[\w.-]+)*\/?)`/g);
  return [...code].map(([, name = ""]) => name).filter(name => /\/$|\.(?:ts|mjs|md|html|css)$/.test(name));
}

/** What a README names and is neither beside it nor at that path of the repository. */
function missing(readme: string, text: string): string[] {
  const folder = dirname(readme);
  return namedIn(text).filter(name => !existsSync(join(root, folder, name)) && !existsSync(join(root, name)));
}

describe("READMEs under src/", () => {
  test("name files and folders that exist", () => {
    const readmes = [...new Bun.Glob("src/**/README.md").scanSync(root)].map(path => path.replaceAll("\\", "/"));
    const found = readmes.flatMap(path =>
      missing(path, readFileSync(join(root, path), "utf8")).map(name => `${path} names ${name}`),
    );
    expect(found).toEqual([]);
    expect(readmes.length).toBeGreaterThanOrEqual(TOLD.length);
  });

  test.each(TOLD)("src/%s has one", folder => {
    expect(existsSync(join(root, "src", folder, "README.md"))).toBe(true);
  });

  test("a file, or a folder, that is gone is named", () => {
    const text = "`link.ts`, `gone.ts`, `test/kit/world.ts`, `lost/` and `GET /api/state` but not `text/html`.";
    expect(missing("src/protocol/README.md", text)).toEqual(["gone.ts", "lost/"]);
  });
});
