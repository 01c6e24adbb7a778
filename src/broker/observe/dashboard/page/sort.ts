// Which order rows have. Pure.

/** The sort key of a column; undefined means unknown and is always last. */
export type SortValue = string | number | undefined;
export type Direction = "ascending" | "descending";

const texts = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** The rows in a new order; those that compare equal keep theirs. */
export function sorted<R>(rows: readonly R[], value: (row: R) => SortValue, direction: Direction): R[] {
  const sign = direction === "ascending" ? 1 : -1;
  return rows
    .map(row => ({ row, value: value(row) }))
    .sort((a, b) => {
      if (a.value === undefined || b.value === undefined) {
        return Number(a.value === undefined) - Number(b.value === undefined);
      }
      return sign * compare(a.value, b.value);
    })
    .map(({ row }) => row);
}

function compare(a: string | number, b: string | number): number {
  return typeof a === "number" && typeof b === "number" ? a - b : texts.compare(String(a), String(b));
}

/** True when every word of the filter is somewhere in the texts, upper and lower case alike. */
export function matches(filter: string, values: readonly string[]): boolean {
  const words = filter.toLowerCase().split(/\s+/);
  const text = values.join("\n").toLowerCase();
  return words.every(word => text.includes(word));
}
