// The built-in modules use what plugins have, and nothing else.
import { expect, test } from "bun:test";
import { join, posix } from "node:path";
import { builtIn } from "../../cmd/modules.ts";
import { options } from "../../src/modules/api.ts";
import { defineModule } from "../../src/modules/define.ts";

const root = join(import.meta.dir, "..", "..");
const read = (file: string): Promise<string> => Bun.file(join(root, file)).text();

/** What a file of a folder imports, from the root of the repository. */
function importsOf(file: string, source: string): string[] {
  return [...source.matchAll(/\bfrom "(\.{1,2}\/[^"]+)"/g)].map(([, path = ""]) =>
    posix.join(posix.dirname(file), path),
  );
}

test("each is made by defineModule and has no more to it than that gives", () => {
  const plain = defineModule({ id: "x", summary: "x", options: options("x", {}) });
  expect(builtIn.length).toBeGreaterThan(3);
  for (const module of builtIn) expect(Object.keys(module).sort()).toEqual(Object.keys(plain).sort());
});

test("a module is declared with what plugins are given, and with pure helpers", async () => {
  const given = importsOf("src/modules/api.ts", await read("src/modules/api.ts"));
  const strangers: string[] = [];
  for await (const name of new Bun.Glob("*.ts").scan(join(root, "src/modules"))) {
    const file = `src/modules/${name}`;
    if (file === "src/modules/api.ts" || file === "src/modules/plugin-files.ts") continue;
    for (const path of importsOf(file, await read(file))) {
      const helper = path.startsWith("src/lib/") || path.startsWith("src/config/") || path.startsWith("src/modules/");
      if (!given.includes(path) && !helper) strangers.push(`${file} imports ${path}`);
    }
  }
  expect(strangers).toEqual([]);
});

test("the framework and Prometheus' library are hidden behind the interface", async () => {
  for await (const name of new Bun.Glob("*.ts").scan(join(root, "src/modules")))
    expect([name, await read(`src/modules/${name}`)]).toEqual([
      name,
      expect.not.stringMatching(/"(elysia|prom-client)/),
    ]);
});

test("broker and agents know no module by its file, and the program has them in one list", async () => {
  const list = importsOf("cmd/modules.ts", await read("cmd/modules.ts"));
  expect(list.every(path => path.startsWith("src/modules/"))).toBeTrue();
  const start = await read("cmd/nfrx.ts");
  expect(start).not.toMatch(/modules\/(llm|asr|docling|mcp)\.ts/);
});
