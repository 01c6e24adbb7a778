import { expect, test } from "bun:test";
import { stalePages } from "../../scripts/docs.ts";

test("every page that is made from the source is fresh; otherwise run npm run docs", async () => {
  expect(await stalePages()).toEqual([]);
});

test("every error code is explained in doc/troubleshooting.md", async () => {
  const read = (path: string): Promise<string> => Bun.file(new URL(`../../${path}`, import.meta.url)).text();
  const table = /const STATUS = \{([\s\S]*?)\} as const/.exec(await read("src/lib/errors.ts"))?.[1] ?? "";
  const codes = [...table.matchAll(/^ {2}(\w+): (\d{3}),$/gm)].map(([, code = "", status = ""]) => ({ code, status }));
  expect(codes.length).toBeGreaterThan(30);
  const page = await read("doc/troubleshooting.md");
  expect(codes.filter(({ code }) => !page.includes(`\`${code}\``))).toEqual([]);
  // In its table each stands with its status.
  const rows = new Map([...page.matchAll(/^\| `(\w+)` \| (\d{3}) \|/gm)].map(([, code, status]) => [code, status]));
  expect(rows.size).toBeGreaterThan(15);
  expect(codes.filter(({ code, status }) => rows.has(code) && rows.get(code) !== status)).toEqual([]);
});
