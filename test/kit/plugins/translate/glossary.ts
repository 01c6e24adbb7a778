import { NfrxError } from "nfrx/plugin";

const words = new Map([
  ["hello", "bonjour"],
  ["world", "monde"],
]);

export const size = (): number => words.size;

/** The word's translation. Throws `not_found`. */
export function look(word: string): string {
  const found = words.get(word);
  if (found === undefined) throw new NfrxError("not_found", `the glossary has no word ${word}`);
  return found;
}
