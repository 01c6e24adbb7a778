// Every block of the pages that a newcomer pastes from is run, with our programs, in its order.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Block, blocksOf, root } from "./page.ts";
import { Reader } from "./reader.ts";

const PAGES = ["README.md", "doc/getting-started.md"];
const LIMIT_MS = 240_000;

/** Blocks that a step of .ci/run runs, by their first line and the title of the step. */
const ELSEWHERE: Record<string, string> = {
  "npm run demo": "npm run demo in a fresh clone",
  "npm test": "npm test",
  "npm run build": "npm run build",
  "tar -xzf nfrx_linux_x64_v0.1.0.tar.gz": "packages and archive on a fresh Debian",
  "docker run -d --name nfrx -p 8080:8080 -v nfrx-state:/var/lib/nfrx \\": "images and compose.llm.yaml in podman",
  "nfrx init": "packages and archive on a fresh Debian",
  "nfrx-llm init --server-url ws://your.host:8080 --client-key choose-another":
    "packages and archive on a fresh Debian",
};

/** What a block prints when it does what its page says, by a part of it. */
const PRINTS: readonly (readonly [part: string, words: string])[] = [
  ["audio/transcriptions", "spoken words"],
  ["convert/file", "# written words"],
  ["api/mcp/id/weather -H", '"protocolVersion":"2025-11-25"'],
  ["api/jobs/claim", '{"status":"completed"}'],
  ["api/transfer", '{"status":"ok"}'],
  ["chat/completions -H", "data: [DONE]"],
  ["api/state -H", '"models":[{"name":"llama3.2:1b"'],
  ["nfrx-llm doctor", "No errors"],
  ["chat.completions.create", "Hello"],
  ["anthropic.messages.create", "Hello there"],
  ["ollama.chat", "Hello there"],
];

const python = process.env["NFRX_PYTHON"];
const withPython = test.skipIf(python === undefined && process.env["CI"] !== "true");

function elsewhere({ text }: Block): boolean {
  return Object.hasOwn(ELSEWHERE, text.split("\n", 1)[0] ?? "");
}

/** Fails unless `output` has what the block is there for. */
function holds({ page, line, text }: Block, output: string): void {
  for (const [part, words] of PRINTS)
    if (text.includes(part) && !output.includes(words))
      throw new Error(`${page}:${line} printed\n${output}\nand not ${words}`);
}

test("what is run elsewhere is in a step of .ci/run", () => {
  const steps = readFileSync(join(root, ".ci", "run"), "utf8");
  const blocks = PAGES.flatMap(blocksOf);
  for (const [first, title] of Object.entries(ELSEWHERE)) {
    expect(blocks.filter(({ text }) => text.split("\n", 1)[0] === first)).toHaveLength(1);
    expect(steps).toMatch(new RegExp(`^(?:step|tests) \\d+ "${title}" `, "m"));
  }
});

test("every sort of output is looked for somewhere", () => {
  const all = PAGES.flatMap(blocksOf);
  for (const [part] of PRINTS) expect(all.filter(({ text }) => text.includes(part))).not.toBeEmpty();
});

test("every placeholder stands somewhere", async () => {
  await using reader = await Reader.start();
  const text = PAGES.map(page => readFileSync(join(root, page), "utf8")).join("\n");
  expect([...reader.placeholders.keys()].filter(placeholder => !text.includes(placeholder))).toEqual([]);
});

test("every block has a language that is run", () => {
  const strange = PAGES.flatMap(blocksOf).filter(({ language }) => !["sh", "python", "js"].includes(language));
  expect(strange).toEqual([]);
});

for (const page of PAGES) {
  test(
    `${page}: every block of shell and JavaScript`,
    async () => {
      await using reader = await Reader.start();
      let services = 0;
      for (const block of blocksOf(page)) {
        if (elsewhere(block) || block.language === "python") continue;
        const output = await (block.language === "js"
          ? reader.script(block, process.execPath, "mjs")
          : reader.run(block));
        if (block.service) services++;
        else holds(block, output);
      }
      if (page === "README.md") {
        const read = (name: string): Buffer => readFileSync(join(reader.folder, name));
        expect(read("received.pdf").equals(read("report.pdf"))).toBeTrue();
      }
      expect(await reader.end()).toEqual(Array(services).fill(0));
    },
    LIMIT_MS,
  );
}

withPython(
  "README.md: every block of Python",
  async () => {
    await using reader = await Reader.start();
    const blocks = blocksOf("README.md");
    for (const block of blocks.filter(({ service }) => service)) await reader.run(block);
    const snippets = blocks.filter(({ language }) => language === "python");
    expect(snippets).not.toBeEmpty();
    for (const block of snippets) holds(block, await reader.script(block, python ?? "python3", "py"));
  },
  LIMIT_MS,
);
