import { oneLine } from "../../lib/printable.ts";

/** Lines with columns, each as wide as its widest cell; numbers stand to the right. Control characters are shown escaped. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [head.map(title => title.toUpperCase()), ...rows.map(row => row.map(shown))];
  const numeric = head.map((_, at) => rows.length > 0 && rows.every(row => typeof row[at] === "number"));
  const widths = head.map((_, at) => Math.max(...cells.map(row => (row[at] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (numeric[at] ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join("  ")
      .trimEnd();
  return cells.map(line).join("\n");
}

function shown(cell: string | number): string {
  return typeof cell === "number" ? cell.toLocaleString("en") : oneLine(cell) || "-";
}
