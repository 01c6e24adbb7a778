// A table that updates its rows in place: focus, selection and expanded cells survive updates.
import type { CellRenderer } from "./cells.ts";
import { announce, button, make, setAttribute, setText, wrap } from "./element.ts";
import { count } from "./format.ts";
import { type Direction, matches, type SortValue, sorted } from "./sort.ts";

/** Maximum rows of one table in the dashboard; use the filter to find others. */
const ROWS_MAX = 250;

export interface Column<R> {
  title: string;
  /** Sort and filter key; without it a column is neither sorted nor filtered. */
  value?: (row: R) => SortValue;
  /** Further texts that a filter looks at. */
  words?: (row: R) => readonly string[];
  cell: CellRenderer<R>;
  /** Numbers stand at the right, and sort from the largest at first. */
  number?: boolean;
  /** Kind of column, for its width and its place in a card. */
  kind?: "state" | "host" | "long" | "acts";
  /** True if the column is shown; depends on all rows. */
  shown?: (rows: readonly R[]) => boolean;
}

export interface TableOptions<R> {
  title: string;
  key: (row: R) => string;
  /** The first one names the row, and sorts the table until another is chosen. */
  columns: readonly Column<R>[];
  /** How it is sorted at first; as they come when there is none. */
  sort?: Direction;
  /** Shown while there are no rows. */
  empty: Node;
  /** Pixels below which each row is laid out as a card. */
  cardsBelow: number;
}

interface Row<R> {
  element: HTMLTableRowElement;
  update: ((row: R) => void)[];
}

export class Table<R> {
  readonly element = make("section", "card");
  readonly #title: HTMLElement;
  readonly #count = make("span", "count");
  readonly #note = make("p", "note");
  readonly #frame = make("div", "frame");
  readonly #body = make("tbody");
  readonly #heads: { cell: HTMLTableCellElement; arrow: HTMLElement | undefined }[] = [];
  readonly #rows = new Map<string, Row<R>>();
  #all: readonly R[] = [];
  #filter = "";
  #by: Column<R> | undefined;
  #direction: Direction;

  constructor(private readonly options: TableOptions<R>) {
    const { title, columns, sort, empty, cardsBelow } = options;
    this.#by = sort === undefined ? undefined : columns[0];
    this.#direction = sort ?? "ascending";
    this.#title = make("h3", "", title);
    this.#title.tabIndex = -1;
    const row = make("tr");
    row.setAttribute("role", "row");
    for (const column of columns) row.append(this.#head(column));
    const head = wrap("thead", "", row);
    const table = wrap("table", "", head, this.#body);
    // Laid out as cards they would lose their roles.
    table.setAttribute("role", "table");
    table.setAttribute("aria-label", title);
    for (const group of [head, this.#body]) group.setAttribute("role", "rowgroup");
    this.#frame.append(table);
    this.element.append(
      wrap("header", "", this.#title, this.#count),
      this.#frame,
      wrap("div", "empty", empty),
      this.#note,
    );
    this.#showSort();
    new ResizeObserver(entries => {
      const width = entries.at(-1)?.contentRect.width ?? 0;
      if (width > 0) this.element.classList.toggle("cards", width < cardsBelow);
    }).observe(this.element);
  }

  /** Shows these rows, or those of them that the filter finds. */
  update(rows: readonly R[], filter: string): void {
    this.#all = rows;
    this.#filter = filter.trim();
    this.#draw();
  }

  #head(column: Column<R>): HTMLElement {
    const cell = make("th", classOf(column));
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    let arrow: HTMLElement | undefined;
    if (column.value === undefined) {
      cell.append(make("span", "sort", column.title));
    } else {
      const sort = button("sort", column.title, () => this.#sortBy(column));
      arrow = sort.appendChild(make("span", "arrow"));
      arrow.ariaHidden = "true";
      cell.append(sort);
    }
    this.#heads.push({ cell, arrow });
    return cell;
  }

  #sortBy(column: Column<R>): void {
    const first: Direction = column.number ? "descending" : "ascending";
    const other: Direction = this.#direction === "ascending" ? "descending" : "ascending";
    this.#direction = this.#by === column ? other : first;
    this.#by = column;
    this.#showSort();
    this.#draw();
    announce(`${this.options.title} sorted by ${column.title}, ${this.#direction}`);
  }

  #showSort(): void {
    for (const [at, { cell, arrow }] of this.#heads.entries()) {
      const mine = this.options.columns[at] === this.#by && this.#by !== undefined;
      setAttribute(cell, "aria-sort", mine ? this.#direction : undefined);
      if (arrow !== undefined) setText(arrow, mine ? (this.#direction === "ascending" ? "↑" : "↓") : "");
    }
  }

  #draw(): void {
    const { columns } = this.options;
    const found = this.#filter === "" ? this.#all : this.#all.filter(row => matches(this.#filter, this.#texts(row)));
    const value = this.#by?.value;
    const ordered = value === undefined ? found : sorted(found, value, this.#direction);
    this.#arrange(ordered.slice(0, ROWS_MAX));
    for (const [at, column] of columns.entries()) {
      const hidden = !(column.shown?.(this.#all) ?? true);
      for (const { cells } of [...(this.#frame.querySelectorAll("tr") ?? [])])
        cells[at]?.toggleAttribute("hidden", hidden);
    }
    setText(
      this.#count,
      this.#filter === "" ? count(this.#all.length) : `${count(found.length)} of ${count(this.#all.length)}`,
    );
    this.#frame.hidden = found.length === 0;
    this.element.classList.toggle("bare", this.#all.length === 0);
    const hiding = ordered.length - ROWS_MAX;
    const note = hiding > 0 ? `${count(hiding)} more; use the filter to find them.` : "No matching rows.";
    setText(this.#note, note);
    this.#note.hidden = hiding <= 0 && (found.length > 0 || this.#all.length === 0);
  }

  #texts(row: R): string[] {
    return this.options.columns.flatMap(({ value, words }) => [String(value?.(row) ?? ""), ...(words?.(row) ?? [])]);
  }

  /** Makes these the rows of the table. The row that has the focus or the selection is never taken out and put back: it would lose it. */
  #arrange(rows: readonly R[]): void {
    const taken = new Set<string>();
    const wanted = rows.map(row => {
      let key = this.options.key(row);
      // Clients choose the ids of their requests, and two may choose the same.
      while (taken.has(key)) key += " again";
      taken.add(key);
      const made = this.#rows.get(key) ?? this.#make(key);
      for (const update of made.update) update(row);
      return made.element;
    });
    const keep = new Set(wanted);
    const fixed = heldRow();
    for (const [key, { element }] of this.#rows) {
      if (keep.has(element)) continue;
      const lost = element === fixed;
      element.remove();
      this.#rows.delete(key);
      if (lost) this.#title.focus();
    }
    let next: Element | null = null;
    for (const element of wanted.reverse()) {
      if (element.nextElementSibling !== next || element.parentElement === null) {
        if (element !== fixed) this.#body.insertBefore(element, next);
      }
      next = element;
    }
  }

  #make(key: string): Row<R> {
    const element = make("tr");
    element.setAttribute("role", "row");
    const update = this.options.columns.map((column, at) => {
      const cell = make(at === 0 ? "th" : "td", classOf(column));
      if (at === 0) cell.setAttribute("scope", "row");
      cell.setAttribute("role", at === 0 ? "rowheader" : "cell");
      cell.dataset["label"] = column.title;
      element.append(cell);
      return column.cell(cell);
    });
    const row = { element, update };
    this.#rows.set(key, row);
    return row;
  }
}

const classOf = <R>({ number, kind }: Column<R>): string => (number ? "number" : (kind ?? ""));

/** The row in which the reader is at work. */
function heldRow(): Element | null {
  const focused = document.activeElement?.closest("tr") ?? null;
  const selection = getSelection();
  if (focused !== null || selection === null || selection.isCollapsed) return focused;
  return selection.anchorNode?.parentElement?.closest("tr") ?? null;
}
