// Caches converted header lists: most requests of a caller, and most responses of a backend, differ from the previous
// ones in one or two values.
import { type HeaderPairs, isHeader } from "./http.ts";

/** Lists that one memo holds; the oldest is forgotten beyond it. */
export const HEADER_LISTS = 8;

/** The converted headers, and derived facts. */
export interface Converted<T> {
  readonly pairs: HeaderPairs;
  readonly about: T;
  /** False where another message with the same list may have to become something else. */
  readonly reusable: boolean;
}

interface Known<T> {
  readonly list: HeaderPairs;
  readonly headers: Headers;
  readonly about: T;
  /** Where the values stand that change. */
  readonly changing: readonly number[];
}

/** Converts lists of headers, each kind of list once. */
export class HeaderMemo<T> {
  readonly #known: Known<T>[] = [];

  constructor(
    /** Names, in lower case, of headers whose value changes each time but does not affect the conversion. */
    private readonly changing: ReadonlySet<string>,
  ) {}

  /** The headers of a list, which the caller may change, and derived facts; `convert` creates them for a new list. */
  of(list: HeaderPairs, convert: (list: HeaderPairs) => Converted<T>): { headers: Headers; about: T } {
    for (const known of this.#known) if (this.#matches(known.list, list)) return filled(known, list);
    const { pairs, about, reusable } = convert(list);
    const headers = new Headers(pairs);
    if (reusable) this.#remember(list, pairs, headers, about);
    return { headers, about };
  }

  #matches(known: HeaderPairs, list: HeaderPairs): boolean {
    if (known.length !== list.length) return false;
    for (let at = 0; at < list.length; at++) {
      const [name, value] = list[at]!;
      const before = known[at]!;
      if (name !== before[0]) return false;
      if (value !== before[1] && !(this.changing.has(name) && isHeader(name, value))) return false;
    }
    return true;
  }

  #remember(list: HeaderPairs, pairs: HeaderPairs, headers: Headers, about: T): void {
    const changing: number[] = [];
    for (const [at, [name, value]] of list.entries()) {
      if (!this.changing.has(name)) continue;
      if (!isHeader(name, value)) return;
      if (pairs.some(pair => pair[0] === name && pair[1] === value)) changing.push(at);
    }
    const names = new Set(changing.map(at => list[at]![0]));
    if (names.size < changing.length) return;
    this.#known.unshift({ list, headers: new Headers(headers), about, changing });
    if (this.#known.length > HEADER_LISTS) this.#known.pop();
  }
}

function filled<T>({ headers, about, changing }: Known<T>, list: HeaderPairs): { headers: Headers; about: T } {
  const copy = new Headers(headers);
  for (const at of changing) copy.set(list[at]![0], list[at]![1]);
  return { headers: copy, about };
}
