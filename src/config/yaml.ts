import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type YAMLMap } from "yaml";
import { describeSource, type Mistake } from "./error.ts";
import { suggestion } from "./nearest.ts";
import type { Option } from "./option.ts";
import { bareKey, type Catalog } from "./program.ts";
import type { ParsedSource, Setting } from "./setting.ts";

// Our own messages: the parser's messages may quote the line, which may contain a key.
const SYNTAX: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: "this key appears twice",
  TAB_AS_INDENT: "indented with a tab; use spaces",
  BAD_INDENT: "the indentation is wrong",
  MISSING_CHAR: "a character is missing, perhaps a closing quote or bracket",
  BAD_DQ_ESCAPE: "unknown escape after a backslash in double quotes; use single quotes, or double the backslash",
  BAD_SCALAR_START: "a value that begins with this character must be quoted",
  TAG_RESOLVE_FAILED: "a value that begins with ! must be quoted",
  BAD_ALIAS: "a value that begins with * must be quoted",
  MULTIPLE_DOCS: "only one YAML document is allowed in the file",
  NON_STRING_KEY: "a key must be a plain name",
  BLOCK_AS_IMPLICIT_KEY: 'a value that contains ": " must be quoted',
  MULTILINE_IMPLICIT_KEY: "the colon is missing, or the value must be quoted",
  KEY_OVER_1024_CHARS: "a key is longer than 1,024 characters",
  UNEXPECTED_TOKEN: "unexpected character; if it is part of a value, quote the value",
  BAD_DIRECTIVE: "a line that begins with % must be quoted",
  IMPOSSIBLE: "this is not valid YAML",
};

type Read =
  | { readonly ok: true; readonly raw: Setting["raw"] | undefined }
  | { readonly ok: false; readonly why: string };

class Reader {
  readonly settings: Setting[] = [];
  readonly mistakes: Mistake[] = [];
  readonly #lines = new LineCounter();
  readonly #given = new Map<Option<unknown>, string>();
  readonly #document: Document.Parsed;

  constructor(
    readonly path: string,
    text: string,
    readonly catalog: Catalog,
  ) {
    // The failsafe schema keeps scalars as text: a key of digits stays text, and `0010` stays `0010`.
    this.#document = parseDocument(text, { schema: "failsafe", prettyErrors: false, lineCounter: this.#lines });
    const problems = [...this.#document.errors, ...this.#document.warnings];
    // The parser may report one error several times: each line is reported once, with the first reason.
    const named = new Set<number>();
    for (const { code, pos } of problems) {
      const line = this.#lines.linePos(pos[0]).line;
      if (named.has(line)) continue;
      named.add(line);
      this.#note(`line ${line}: ${SYNTAX[code] ?? "this is not valid YAML"}`);
    }
    if (problems.length === 0) this.#readRoot();
  }

  #note(what: string): void {
    this.mistakes.push({
      option: undefined,
      value: undefined,
      source: { from: "file", path: this.path },
      text: `file ${this.path}, ${what}`,
    });
  }

  #lineOf(node: unknown): number {
    const range = isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range : undefined;
    return this.#lines.linePos(range?.[0] ?? 0).line;
  }

  #readRoot(): void {
    const root = this.#document.contents;
    if (root === null || isEmpty(root)) return;
    if (isMap(root)) this.#readMap(root, "");
    else this.#note(`line ${this.#lineOf(root)}: expected "key: value" lines`);
  }

  #readMap(map: YAMLMap, prefix: string): void {
    for (const { key, value } of map.items) {
      const name = isScalar(key) && typeof key.value === "string" ? key.value : "";
      const path = prefix + name;
      const line = this.#lineOf(key);
      const option = this.catalog.bareKeys.get(bareKey(path));
      if (option !== undefined) this.#readOption(option, path, line, value);
      else if (this.#isSection(path)) this.#readSection(path, line, value);
      else this.#note(`line ${line}: unknown key ${JSON.stringify(path)}${this.#meant(path)}`);
    }
  }

  #isSection(path: string): boolean {
    return [...this.catalog.keys.keys()].some(known => known.startsWith(`${path}.`));
  }

  #readSection(path: string, line: number, value: unknown): void {
    if (isMap(value)) this.#readMap(value, `${path}.`);
    else if (!isEmpty(value)) this.#note(`line ${line}: key ${path} takes nested keys, not a value`);
  }

  #readOption(option: Option<unknown>, key: string, line: number, value: unknown): void {
    const source = { from: "file", path: this.path, key, line } as const;
    const read = this.#read(option, value);
    const earlier = this.#given.get(option);
    if (!read.ok) {
      const text = `${option.env}: ${read.why} (${describeSource(source)})`;
      this.mistakes.push({ option: option.env, value: undefined, source, text });
    } else if (earlier !== undefined) {
      this.#note(`line ${line}: key ${key} sets the same option as key ${earlier}; remove one of them`);
    } else if (read.raw !== undefined) {
      this.#given.set(option, key);
      this.settings.push({ option, raw: read.raw, source });
    }
  }

  #read(option: Option<unknown>, value: unknown): Read {
    const node = this.#resolve(value);
    if (node === undefined && isAlias(value)) return { ok: false, why: SYNTAX["BAD_ALIAS"] ?? "" };
    if (isEmpty(node)) return { ok: true, raw: undefined };
    if (isScalar(node)) return { ok: true, raw: String(node.value).trim() || undefined };
    const many = option.kind === "list" || option.kind === "pairs";
    if (isSeq(node) && many) return this.#readItems(node.items);
    if (isMap(node) && option.kind === "pairs")
      return this.#readItems(
        node.items.map(pair => pair.value),
        node,
      );
    return { ok: false, why: many ? `it is not ${option.expects}` : "expected a single value" };
  }

  /** The items of a list, or of a map as `NAME=value` items. */
  #readItems(nodes: readonly unknown[], map?: YAMLMap): Read {
    const items: string[] = [];
    for (const [index, node] of nodes.entries()) {
      const item = this.#resolve(node);
      const key = map?.items[index]?.key;
      if (!isScalar(item)) return { ok: false, why: "each item must be a single plain value" };
      items.push(isScalar(key) ? `${key.value}=${item.value ?? ""}` : String(item.value));
    }
    return { ok: true, raw: items };
  }

  #resolve(value: unknown): unknown {
    return isAlias(value) ? value.resolve(this.#document) : value;
  }

  /** Also suggests the key that corresponds to the environment variable. */
  #meant(path: string): string {
    const names = new Map(this.catalog.options.map(option => [option.env.toLowerCase(), option.yaml[0] ?? ""]));
    // Also finds a module's key at the top level.
    const below = [...this.catalog.keys.keys()].filter(known => known.endsWith(`.${path}`));
    const exact = names.get(path) ?? (below.length === 1 ? below[0] : undefined);
    return exact === undefined ? suggestion(path, this.catalog.keys.keys()) : `; did you mean ${exact}?`;
  }
}

/** No value, unquoted `null` or `~`, or an empty text: the option is unset. */
function isEmpty(node: unknown): boolean {
  if (node === null || node === undefined) return true;
  if (!isScalar(node)) return false;
  if (node.value === null || node.value === "") return true;
  return node.type === "PLAIN" && (node.value === "null" || node.value === "~");
}

/** Reads the settings of a YAML file, and their errors. */
export function readYaml(path: string, text: string, catalog: Catalog): ParsedSource {
  return new Reader(path, text, catalog);
}
