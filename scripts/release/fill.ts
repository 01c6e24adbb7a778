// Templates: text with @NAMES@ in it.

/** Puts values in the place of every `@NAME@`. Throws when the text has one without a value. */
export function fill(text: string, values: Readonly<Record<string, string>>): string {
  return text.replaceAll(/@(\w+)@/g, (found, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) throw new Error(`nothing is known of ${found}`);
    return value;
  });
}
