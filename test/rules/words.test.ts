// The words of the code and of what people read: the field's terms in identifiers, plain English in every text.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { codeOf, textsOf } from "../kit/source-text.ts";

const root = join(import.meta.dir, "..", "..");

/** Words that no identifier contains, with the term to use instead. */
const WORDS: Readonly<Record<string, string>> = {
  told: "configured, parsed, reported",
  door: "authenticator, endpoint, acceptor",
  doors: "authenticators",
  seat: "slot",
  seats: "slots",
  seated: "slotAcquired",
  border: "boundary, HTTP layer",
  borders: "boundary",
  presence: "liveness",
  late: "expired, duringDrain",
  beside: "exempt, sibling, folder",
  besides: "further, additional",
  patience: "timeout, idle timer",
  nowhere: "unmatched",
  whoever: "caller",
  who: "caller, principal, owner",
  whom: "caller",
  heard: "seen, last message",
  unheard: "lost",
  visit: "exemptFromSlots",
  visits: "slotExempt",
  stray: "unhandled",
  strays: "unhandled",
  reception: "handshake, acceptor",
  passage: "pipe",
  claimers: "waiters",
};

/** Turns of speech that are translated, not written. */
const TURNS: readonly [RegExp, string][] = [
  [/(?:^|[.:;!?]\s+)(?:Who|Whom|Whose|Whoever|What)\s(?![^.]*\?)/, "a sentence that begins with Who or What"],
  [/\bwho (?:must|has none|brings)\b/i, "who must, who has none"],
  [/\bwhoever\b/i, "whoever"],
  [/\bthat is none\b/i, "that is none"],
  [/\b(?:is|are|was|were|be) told\b/i, "is told"],
  [/\bunless (?:told|said) otherwise\b|\bunless told\b/i, "unless told"],
  [/\bSays this\b/, "Says this"],
  [/\bas long as (?:it|he|they) likes?\b/i, "as long as it likes"],
  [/\bhas been heard\b/i, "has been heard"],
  [/\bhas come to\b/i, "has come to"],
  [/\bso that who\b/i, "so that who"],
  [/\bunder way\b/i, "under way: in flight, running"],
  [/\bis not called so\b|\bkey that fits\b/i, "not called so, key that fits"],
  [/\bspeaks? no\b|\bholds? no mistake\b/i, "speaks no, holds no mistake"],
];

/** Texts that stay, each with its reason. */
const ALLOWED: readonly { readonly file: RegExp; readonly text: RegExp }[] = [
  // An API that stands in for a model may repeat what people type.
  { file: /^src\/demo\//, text: /.*/ },
];

const sources = [...new Glob("{src,cmd}/**/*.ts").scanSync({ cwd: root })].sort();
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** The words of an identifier: `#lastHeard` is last and heard, `NOWHERE` is nowhere. */
function wordsOf(identifier: string): string[] {
  return identifier
    .replace(/([a-z\d])([A-Z])/g, "$1 $2")
    .replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2")
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter(word => word !== "");
}

/** Identifiers of a source text that contain a word of WORDS. */
export function oldWords(source: string): string[] {
  const found = new Set<string>();
  for (const [identifier] of codeOf(source).matchAll(/#?[A-Za-z_$][\w$]*/g))
    for (const word of wordsOf(identifier)) if (Object.hasOwn(WORDS, word)) found.add(`${identifier}: ${WORDS[word]}`);
  return [...found];
}

/** Turns of TURNS in a text. */
export function oldTurns(text: string): string[] {
  return TURNS.filter(([turn]) => turn.test(text)).map(([, name]) => name);
}

describe("identifiers use the field's terms", () => {
  test.each(sources)("%s", path => {
    expect(oldWords(read(path))).toEqual([]);
  });

  test("an old word is found wherever it stands in a name", () => {
    expect(oldWords("const a = this.#lastHeard; class AgentDoor {} const NOWHERE = 1; latest(); // told")).toEqual([
      "#lastHeard: seen, last message",
      "AgentDoor: authenticator, endpoint, acceptor",
      "NOWHERE: unmatched",
    ]);
  });
});

describe("texts in the code are plain English", () => {
  test.each(sources)("%s", path => {
    const allowed = ALLOWED.filter(({ file }) => file.test(path));
    const texts = textsOf(read(path)).filter(text => !allowed.some(one => one.text.test(text)));
    expect(texts.flatMap(text => oldTurns(text).map(turn => `${turn}: ${text}`))).toEqual([]);
  });
});

describe("pages are plain English", () => {
  const pages = [
    "README.md",
    "SECURITY.md",
    ...new Glob("{doc,examples,src,packaging}/**/*.{md,sh,service,yaml,yml,env,html}").scanSync({ cwd: root }),
  ].sort();

  test.each(pages)("%s", path => {
    const lines = read(path).split("\n");
    expect(lines.flatMap((line, at) => oldTurns(line).map(turn => `${at + 1}: ${turn}: ${line.trim()}`))).toEqual([]);
  });

  test("a translated turn is found", () => {
    expect(oldTurns("Who must not, goes through a proxy")).toEqual([
      "a sentence that begins with Who or What",
      "who must, who has none",
    ]);
    expect(oldTurns("10 minutes unless told")).toEqual(["unless told"]);
    expect(oldTurns("What is served? Every module.")).toEqual([]);
  });
});
