// Every folder of tests is run by something: npm test, another script of package.json, or .ci/run.
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import pkg from "../../package.json" with { type: "json" };

const root = join(import.meta.dir, "..", "..");

/** Folders that `.ci/run` leaves out, and why. */
const BY_HAND: Readonly<Record<string, string>> = {
  long: "takes minutes by its nature: npm run test:long",
  peer: "needs programs of the 0.9 series: NFRX_PEER",
};

const testFolders = (): string[] => {
  const files = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" });
  const tests = files.map(file => file.replaceAll("\\", "/")).filter(file => file.endsWith(".test.ts"));
  return [...new Set(tests.map(file => file.split("/")[0] ?? ""))].sort();
};

/** The folders that one or more commands name as `./test/x`. */
const namedIn = (text: string): string[] => [...text.matchAll(/\.\/test\/([a-z0-9-]+)/g)].map(([, name = ""]) => name);

test("every folder of tests is named by npm test, by .ci/run, or here", async () => {
  const named = new Set([
    ...namedIn(pkg.scripts.test),
    ...namedIn(await Bun.file(join(root, ".ci/run")).text()),
    ...Object.keys(BY_HAND),
  ]);
  expect([...named].sort()).toEqual(testFolders());
});
