// The pages of the book as the tests read them.
import { readFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dir, "..", "..");

/** A fenced block of a page. */
export interface Block {
  readonly page: string;
  /** Line of its first fence. */
  readonly line: number;
  /** The first word behind the fence. */
  readonly language: string;
  /** It goes on until it is stopped: the word `service` follows the language. */
  readonly service: boolean;
  readonly text: string;
}

/** Every fenced block of a page, in its order. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  let open: { line: number; info: string; lines: string[] } | undefined;
  for (const [index, line] of readFileSync(join(root, page), "utf8").split(/\r?\n/).entries()) {
    if (open === undefined && line.startsWith("```")) open = { line: index + 1, info: line.slice(3).trim(), lines: [] };
    else if (open !== undefined && line === "```") {
      const [language = "", ...marks] = open.info.split(" ");
      const text = open.lines.join("\n");
      blocks.push({ page, line: open.line, language, service: marks.includes("service"), text });
      open = undefined;
    } else open?.lines.push(line);
  }
  if (open !== undefined) throw new Error(`${page}:${open.line} the block does not end`);
  return blocks;
}
