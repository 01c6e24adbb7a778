// The npm package for authors of plugins, as they have it: packed, installed into a project of its own, and compiled there
// without the types of Bun or Node.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pluginPackage } from "../../scripts/plugin-package.ts";

const root = resolve(import.meta.dir, "..", "..");
const VERSION = "1.2.3";

let folder = "";
let project = "";

function run(...command: string[]): { code: number; output: string } {
  const done = Bun.spawnSync(command, { cwd: project, stdout: "pipe", stderr: "pipe" });
  return { code: done.exitCode, output: `${done.stdout}${done.stderr}` };
}

const tsc = (file: string, ...more: string[]) =>
  run(
    process.execPath,
    join(root, "node_modules/typescript/bin/tsc"),
    "--noEmit",
    "--strict",
    "--ignoreConfig",
    ...more,
    file,
  );

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-plugin-"));
  project = join(folder, "project");
  await pluginPackage(join(folder, "package"), VERSION);
  await Bun.write(join(project, "package.json"), '{ "private": true, "type": "module" }');
  const packed = run("npm", "pack", join(folder, "package"), "--pack-destination", folder);
  expect(packed).toMatchObject({ code: 0 });
  // zod from the folder that has it, so that no registry is asked.
  const sources = [join(folder, `nfrx-${VERSION}.tgz`), join(root, "node_modules", "zod")];
  const installed = run("npm", "install", "--offline", "--no-audit", "--no-fund", ...sources);
  if (installed.code !== 0) throw new Error(installed.output);

  const page = readFileSync(join(root, "doc/plugins.md"), "utf8");
  const smallest = /```ts\n(import [\s\S]*?export default defineModule[\s\S]*?)```/.exec(page)?.[1] ?? "";
  expect(smallest).toContain('errors: "plain"');
  writeFileSync(join(project, "hello.ts"), smallest);
  cpSync(join(root, "examples/plugins/relay/tool.ts"), join(project, "tool.ts"));
  cpSync(join(root, "examples/plugins/worker/rerank.ts"), join(project, "rerank.ts"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each(["hello.ts", "tool.ts", "rerank.ts"])("%s compiles against it", file => {
  expect(tsc(file)).toEqual({ code: 0, output: "" });
  expect(tsc(file, "--module", "nodenext")).toEqual({ code: 0, output: "" });
});

test("a field that the interface does not know is an error there", () => {
  writeFileSync(
    join(project, "wrong.ts"),
    readFileSync(join(project, "hello.ts"), "utf8").replace('errors: "plain"', 'errors: "fancy"'),
  );
  const { code, output } = tsc("wrong.ts");
  expect(code).not.toBe(0);
  expect(output).toContain('"fancy"');
});

test("Node loads it, for tests of a plugin", () => {
  const source =
    'import { defineModule, options } from "nfrx/plugin";' +
    'console.log(defineModule({ id: "hello", summary: "x", options: options("Module hello", {}) }).id);';
  writeFileSync(join(project, "load.js"), source);
  expect(run("node", "load.js")).toEqual({ code: 0, output: "hello\n" });
});
