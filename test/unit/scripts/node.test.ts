import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const root = join(import.meta.dir, "..", "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

test("every package installs without a warning on the Node that the README names", () => {
  const named = /nothing but Node \((\d+) or later\)/.exec(read("README.md"))?.[1];
  const entry = z.object({
    engines: z.union([z.object({ node: z.string().optional() }), z.array(z.string())]).optional(),
  });
  const lock = z.object({ packages: z.record(z.string(), entry) }).parse(JSON.parse(read("package-lock.json")));
  expect(JSON.parse(read("package.json")).engines.node).toBe(`>=${named}`);
  // The last release of that line: who names 22 has 22's updates.
  const wanting = Object.entries(lock.packages).filter(([, { engines }]) => {
    const range = engines === undefined || Array.isArray(engines) ? undefined : engines.node;
    return range !== undefined && !Bun.semver.satisfies(`${named}.99.0`, range);
  });
  expect(wanting.map(([name]) => name)).toEqual([]);
});
