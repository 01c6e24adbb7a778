/** Edit distance of two strings. */
function distance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [row, letter] of [...from].entries()) {
    const current = [row + 1];
    for (const [column, other] of [...to].entries()) {
      const replaced = (previous[column] ?? 0) + (letter === other ? 0 : 1);
      current.push(Math.min(replaced, (previous[column + 1] ?? 0) + 1, (current[column] ?? 0) + 1));
    }
    previous = current;
  }
  return previous.at(-1) ?? 0;
}

const plain = (name: string) => name.toLowerCase().replace(/[_.]/g, "-");

/** The closest name, or undefined if none is close. */
function nearest(name: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(name.length / 3)) + 1;
  for (const candidate of names) {
    const apart = distance(plain(name), plain(candidate));
    if (apart >= least) continue;
    least = apart;
    best = candidate;
  }
  return best;
}

/** An unknown variable, and the option that was probably meant. */
export interface Misspelt {
  readonly name: string;
  readonly meant: string;
}

/** Minimum length: shorter names can be similar by chance, such as HOME and HOST. */
const LONG_ENOUGH = 6;
const LETTERS_WRONG = 2;

/**
 * The variables of `env` that are not options but differ from one by at most two letters. Empty variables count as
 * unset.
 */
export function misspelt(env: Readonly<Record<string, string | undefined>>, names: readonly string[]): Misspelt[] {
  const known = new Set(names);
  return Object.keys(env).flatMap(name => {
    if (known.has(name) || !env[name]?.trim() || name.length < LONG_ENOUGH) return [];
    const near = names.filter(one => one.length >= LONG_ENOUGH && Math.abs(one.length - name.length) <= LETTERS_WRONG);
    let meant: string | undefined;
    let least = LETTERS_WRONG + 1;
    for (const candidate of near) {
      const apart = distance(name.toUpperCase(), candidate);
      if (apart < least) [least, meant] = [apart, candidate];
    }
    return meant === undefined ? [] : [{ name, meant }];
  });
}

/** `; did you mean port?`, or nothing. */
export function suggestion(name: string, names: Iterable<string>): string {
  const found = nearest(name, names);
  return found === undefined ? "" : `; did you mean ${found}?`;
}
