// Links within the repository lead somewhere: the file is there, and so is the heading.
import { expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { Glob } from "bun";

const root = join(import.meta.dir, "..", "..");

/** Every page that is kept in the repository. */
const pages = [...new Glob("**/*.md").scanSync({ cwd: root, onlyFiles: true, followSymlinks: false })]
  .filter(path => !/(^|\/)(node_modules|dist)\//.test(path))
  .sort();

/** A page without what is shown as it is: fenced and indented blocks, words in back-ticks. */
function prose(text: string): string {
  return text
    .replace(/\r\n/g, "\n")
    .replace(/^( *)```[\s\S]*?^\1```$/gm, "")
    .replace(/(?<=\n\n)(?: {4}.*\n)+/g, "")
    .replace(/`[^`\n]*`/g, code => code.replace(/[[\]()]/g, " "));
}

/** The anchors that GitHub makes of a page's headings. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of text.replace(/^```[\s\S]*?^```$/gm, "").matchAll(/^#{1,6} +(.*?) *#* *$/gm)) {
    const words = heading.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/`/g, "");
    const anchor = words
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-");
    let name = anchor;
    for (let i = 1; anchors.has(name); i++) name = `${anchor}-${i}`;
    anchors.add(name);
  }
  return anchors;
}

/** Where the links of a page lead, those into the web left out. */
function linksOf(text: string): string[] {
  const shown = prose(text);
  const inline = [...shown.matchAll(/\]\(<?([^)\s>]+)>?(?: "[^"]*")?\)/g)].map(([, target = ""]) => target);
  const named = [...shown.matchAll(/^\[[^\]]+\]: +(\S+)/gm)].map(([, target = ""]) => target);
  return [...inline, ...named].filter(target => !/^[a-z][a-z0-9+.-]*:/i.test(target));
}

/** Why a link of a page leads nowhere; undefined when it leads somewhere. */
function trouble(page: string, target: string): string | undefined {
  const [path = "", anchor] = decodeURIComponent(target).split("#");
  const file =
    path === "" ? page : relative(root, path.startsWith("/") ? join(root, path) : join(root, dirname(page), path));
  if (file.startsWith("..")) return `${page}: ${target} leads out of the repository`;
  const full = join(root, file);
  if (!existsSync(full)) return `${page}: ${target} is not there`;
  if (anchor === undefined || !file.endsWith(".md") || !statSync(full).isFile()) return undefined;
  return anchorsOf(readFileSync(full, "utf8")).has(anchor) ? undefined : `${page}: ${target} has no such heading`;
}

test("every link and anchor within the repository", () => {
  const links = pages.flatMap(page =>
    linksOf(readFileSync(join(root, page), "utf8")).map(target => ({ page, target })),
  );
  expect(links.length).toBeGreaterThan(50);
  expect(links.flatMap(({ page, target }) => trouble(page, target) ?? [])).toEqual([]);
});

test("every page of the book is linked from the README", () => {
  const linked = linksOf(readFileSync(join(root, "README.md"), "utf8")).map(target => target.split("#")[0]);
  expect(pages.filter(page => page.startsWith("doc/") && !linked.includes(page))).toEqual([]);
});

test("links are found, and what only looks like one is not", () => {
  const page =
    "[a](b.md#c) `[x](y)`\n\n    [shown](as-it-is.md)\n\n```\n[code](in.md)\n```\n[web](https://x.example) ![p](p.png)\n[r]: d.md\n";
  expect(linksOf(page)).toEqual(["b.md#c", "p.png", "d.md"]);
});

test("anchors are those of GitHub", () => {
  const page = "# What `a_b` is, and why\n## Same\n## Same\n### [Linked](x.md) – é\n```sh\n# no heading\n```\n";
  expect([...anchorsOf(page)]).toEqual(["what-a_b-is-and-why", "same", "same-1", "linked--é"]);
});
