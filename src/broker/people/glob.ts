/**
 * Matches names against a list of patterns in which `*` stands for any characters, `/` and `:` included. Case counts.
 * `llama3` and `llama3:latest` are one name.
 */
export class GlobList {
  readonly #tests: readonly ((name: string) => boolean)[];

  constructor(readonly patterns: readonly string[]) {
    this.#tests = patterns.map(testOf);
  }

  matches(name: string): boolean {
    const twin = name.endsWith(LATEST) ? name.slice(0, -LATEST.length) : `${name}${LATEST}`;
    return this.#tests.some(test => test(name) || test(twin));
  }
}

const LATEST = ":latest";

/** Takes time in proportion to the name's length times the pattern's, whatever either holds. */
function testOf(pattern: string): (name: string) => boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop();
  if (last === undefined) return name => name === first;
  return name => {
    if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false;
    const end = name.length - last.length;
    let at = first.length;
    for (const part of rest) {
      const found = name.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  };
}
