/** Plain text tables. */

export type Cell = string | number | null | undefined;

/** First column to the left, the others to the right. */
export function table(title: string, header: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const lines = [header, ...rows.map(row => row.map(text))];
  const widths = header.map((_, column) => Math.max(...lines.map(line => (line[column] ?? "").length)));
  const drawn = lines.map(line =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  "),
  );
  const rule = widths.map(width => "─".repeat(width)).join("  ");
  return [`\n${title}`, drawn[0] ?? "", rule, ...drawn.slice(1)].join("\n");
}

/** Three significant digits are all that a bench on a shared machine can vouch for. */
function text(cell: Cell): string {
  if (typeof cell === "string") return cell;
  if (cell === null || cell === undefined || !Number.isFinite(cell)) return "–";
  const size = Math.abs(cell);
  if (size >= 1000) return Math.round(cell).toLocaleString("en");
  return cell.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
