// What the house does not do: types silenced, tests left out, tests that sleep.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { codeOf } from "../kit/source-text.ts";

const root = join(import.meta.dir, "..", "..");

interface Rule {
  readonly name: string;
  readonly pattern: RegExp;
  /** What is read: the code with comments and texts blanked out, or everything. */
  readonly reads: "code" | "all";
  readonly holdsIn: (file: string) => boolean;
}

const everywhere = () => true;
/** Polling a condition with a bound is the one place where a test may wait for time to pass. */
const inTests = (file: string) => file.startsWith("test/") && file !== "test/kit/time/until.ts";

const rules: readonly Rule[] = [
  {
    name: "the type any",
    pattern: /(?:[:|&<,(]|=>|\b(?:as|extends|keyof|is|satisfies)\b|\btype\s+\w+\s*=)\s*any\b(?!\s*[(:.?])|\bany\s*\[\]/,
    reads: "code",
    holdsIn: everywhere,
  },
  { name: "a cast through unknown", pattern: /\bas\s+unknown\s+as\b/, reads: "code", holdsIn: everywhere },
  { name: "a silenced compiler", pattern: /@ts-(?:ignore|expect-error|nocheck)\b/, reads: "all", holdsIn: everywhere },
  {
    name: "a test left out",
    pattern: /\b(?:test|it|describe)(?:\.\w+)*\.(?:only|skip)\b|\b(?:xtest|xit|xdescribe)\s*\(/,
    reads: "code",
    holdsIn: inTests,
  },
  {
    name: "a test that sleeps",
    pattern:
      /\bBun\s*\.\s*sleep|\bscheduler\s*\.\s*wait\b|\bsetTimeout\s*\(\s*(?!reject\b)[\w$]+\s*,|\bnew\s+Promise\b[^;(]*\(\s*\(?\s*(\w+)[^;]{0,60}?=>\s*\{?\s*setTimeout\s*\(\s*\(\)\s*=>\s*\1\b/,
    reads: "code",
    holdsIn: inTests,
  },
  {
    name: "a test that sleeps",
    pattern: /(?:^|\n)\s*import\b[^"';]*["'](?:node:)?timers\/promises["']/,
    reads: "all",
    holdsIn: inTests,
  },
];

function violations(file: string, source: string): string[] {
  const code = codeOf(source);
  return rules
    .filter(rule => rule.holdsIn(file))
    .flatMap(rule => {
      const text = rule.reads === "code" ? code : source;
      return [...text.matchAll(new RegExp(rule.pattern, "g"))].map(
        ({ index }) => `${file}:${text.slice(0, index).split("\n").length} ${rule.name}`,
      );
    });
}

describe("nothing is silenced, left out or slept away", () => {
  test("in every file", async () => {
    const found: string[] = [];
    let files = 0;
    for await (const path of new Bun.Glob("{src,cmd,scripts,test}/**/*.ts").scan(root)) {
      const file = path.replaceAll("\\", "/");
      found.push(...violations(file, await Bun.file(join(root, file)).text()));
      files++;
    }
    expect(found).toEqual([]);
    expect(files).toBeGreaterThan(0);
  });

  const marker = `@ts${"-"}ignore`; // spelled so that this file is clean
  test.each([
    "function f(x: any) {}",
    "const x = y as any;",
    "const x: Array<any> = [];",
    "type X = Map<string, any>;",
    "let x: string | any;",
    "let x: any[] = [];",
    "const f = (): Promise<any> => g();",
    "const x = y as unknown as string;",
    `// ${marker}\nconst x = 1;`,
    'test.only("x", () => {});',
    'describe.skip("x", () => {});',
    'test.skip.each([1])("x", () => {});',
    "await Bun.sleep(5);",
    "await new Promise(resolve => setTimeout(resolve, 5));",
    "await new Promise<void>((r) => { setTimeout(() => r(), 5); });",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a sample of code
    "const a = `x ${`y`} {`; await Bun.sleep(5);",
    "const a = /[\"'`]/.test(b); await Bun.sleep(5);",
    "const { promise, resolve } = Promise.withResolvers<void>(); setTimeout(resolve, 5);",
    'import { setTimeout as later } from "node:timers/promises";',
  ])("seen: %s", source => {
    expect(violations("test/unit/sample.test.ts", source)).toHaveLength(1);
  });

  test.each([
    "// as any: any reader sees it; test.only(",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a sample of code
    'const text = "x as any"; const other = `await Bun.sleep(1) ${y}`;',
    "const x = { any: 1, y: any(2) }; list.any(x);",
    "const company: Company = many as Many;",
    "const timer = setTimeout(() => fail(), 100);",
    "const late = new Promise<never>((_, reject) => setTimeout(() => reject(new Error()), 100));",
    "iterator.skip(3);",
    "const a = b / c; const d = e / f;",
  ])("let through: %s", source => {
    expect(violations("test/unit/sample.test.ts", source)).toEqual([]);
  });

  test("time may pass where the kit waits for a condition", () => {
    expect(violations("test/kit/time/until.ts", "await Bun.sleep(5);")).toEqual([]);
  });
});
