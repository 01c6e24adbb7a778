// Only the pool itself uses its registry; other parts of the broker read `pool.directory`.
import { expect, test } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "..", "..");
const POOL = "src/broker/pool/";

/** The lines of a source that reach for a registry: by a field, or by taking a pool apart. */
function reaches(file: string, source: string): string[] {
  if (file.startsWith(POOL)) return [];
  return source.split("\n").flatMap((line, at) => (REGISTRY.test(line) ? [`${file}:${at + 1}: ${line.trim()}`] : []));
}

const REGISTRY = /\.registry\b|\bregistry\s*[,}]|pool\/registry\.ts/;

test("the registry of a pool stays inside", async () => {
  const found: string[] = [];
  let files = 0;
  for await (const path of new Bun.Glob("src/broker/**/*.ts").scan(root)) {
    const file = path.replaceAll("\\", "/");
    found.push(...reaches(file, await Bun.file(join(root, file)).text()));
    files++;
  }
  expect(found).toEqual([]);
  expect(files).toBeGreaterThan(0);
});

test.each([
  "const { size } = pool.registry;",
  "const { registry } = context.pool;",
  'import type { Registry } from "../pool/registry.ts";',
])("a use is seen: %s", source => {
  expect(reaches("src/broker/proxy/models.ts", source)).toHaveLength(1);
  expect(reaches("src/broker/pool/pool.ts", source)).toEqual([]);
});
