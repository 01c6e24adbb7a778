// Finds values in a JSON text without building it, so that an id can be exchanged and all else stays as it was written.
import { BACKSLASH, CLOSE_BRACE, CLOSE_BRACKET, COMMA, OPEN_BRACE, OPEN_BRACKET, QUOTE, SPACE } from "./json-chars.ts";

/** Where a value stands: from, and up to but not including. */
export type JsonSpan = readonly [from: number, to: number];

/**
 * The span of the value at `path` through the objects of `text`, which must be sound JSON. Of a key that stands twice the
 * last counts, as JSON.parse has it.
 */
export function spanOf(text: string, path: readonly string[]): JsonSpan | undefined {
  let at = skipSpace(text, 0);
  for (const key of path) {
    const next = text.charCodeAt(at) === OPEN_BRACE ? startOf(text, at, key) : undefined;
    if (next === undefined) return undefined;
    at = next;
  }
  return [at, skipValue(text, at)];
}

/** The text of every element of the array that `text` is. */
export function elementsOf(text: string): string[] {
  const found: string[] = [];
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (at < text.length && text.charCodeAt(at) !== CLOSE_BRACKET) {
    const end = skipValue(text, at);
    found.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
  return found;
}

/** The text with the values at some paths exchanged; a path that is not there is left out. */
export function replaceValues(
  text: string,
  changes: readonly (readonly [path: readonly string[], value: string])[],
): string {
  const spans = changes
    .flatMap(([path, value]) => {
      const span = spanOf(text, path);
      return span === undefined ? [] : [{ span, value }];
    })
    .sort((a, b) => a.span[0] - b.span[0]);
  let result = "";
  let at = 0;
  for (const { span, value } of spans) {
    result += text.slice(at, span[0]) + value;
    at = span[1];
  }
  return result + text.slice(at);
}

/** Where the value of `key` begins in the object that begins at `at`. */
function startOf(text: string, at: number, key: string): number | undefined {
  let found: number | undefined;
  let next = skipSpace(text, at + 1);
  while (next < text.length && text.charCodeAt(next) !== CLOSE_BRACE) {
    const keyEnd = skipString(text, next);
    const value = skipSpace(text, skipSpace(text, keyEnd) + 1);
    if (isKey(text, next, keyEnd, key)) found = value;
    next = skipSpace(text, skipValue(text, value));
    if (text.charCodeAt(next) === COMMA) next = skipSpace(text, next + 1);
  }
  return found;
}

function isKey(text: string, from: number, to: number, key: string): boolean {
  const raw = text.slice(from + 1, to - 1);
  return raw === key || (raw.includes("\\") && JSON.parse(text.slice(from, to)) === key);
}

function skipSpace(text: string, at: number): number {
  let next = at;
  while (next < text.length && text.charCodeAt(next) <= SPACE) next++;
  return next;
}

/** Past the string that begins at `at`. */
function skipString(text: string, at: number): number {
  for (let from = at + 1; ; ) {
    const quote = text.indexOf('"', from);
    if (quote === -1) return text.length;
    let before = quote;
    while (text.charCodeAt(before - 1) === BACKSLASH) before--;
    if ((quote - before) % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

/** Past the value that begins at `at`. */
function skipValue(text: string, at: number): number {
  const first = text.charCodeAt(at);
  if (first === QUOTE) return skipString(text, at);
  if (first !== OPEN_BRACE && first !== OPEN_BRACKET) return skipScalar(text, at);
  let depth = 0;
  for (let next = at; next < text.length; ) {
    const code = text.charCodeAt(next);
    if (code === QUOTE) {
      next = skipString(text, next);
      continue;
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
    else if ((code === CLOSE_BRACE || code === CLOSE_BRACKET) && --depth === 0) return next + 1;
    next++;
  }
  return text.length;
}

function skipScalar(text: string, at: number): number {
  let next = at;
  for (; next < text.length; next++) {
    const code = text.charCodeAt(next);
    if (code === COMMA || code === CLOSE_BRACE || code === CLOSE_BRACKET || code <= SPACE) break;
  }
  return next;
}
