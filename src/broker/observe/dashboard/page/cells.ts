// Table cells. Each is created once per row and then updated in place.
import { button, drawing, make, setAttribute, setText, wrap } from "./element.ts";

/** Fills a new cell; the function it returns is called with each new state of the row. */
export type CellRenderer<R> = (cell: HTMLElement) => (row: R) => void;

/** A text. */
export function text<R>(read: (row: R) => string, name = ""): CellRenderer<R> {
  return cell => {
    const line = cell.appendChild(make("span", name));
    return row => setText(line, read(row) || "–");
  };
}

/** A text and a quieter one below it. */
export function twoLines<R>(first: (row: R) => string, second: (row: R) => string, tone = "minor"): CellRenderer<R> {
  return cell => {
    const lines = cell.appendChild(make("div", "lines"));
    const upper = lines.appendChild(make("span"));
    const lower = lines.appendChild(make("span", tone));
    return row => {
      setText(upper, first(row) || "–");
      const below = second(row);
      setText(lower, below);
      lower.hidden = below === "";
    };
  };
}

/** A status in one word, with its color, and a secondary line below it. */
export function badge<R>(state: (row: R) => string, second: (row: R) => string): CellRenderer<R> {
  return cell => {
    const lines = cell.appendChild(make("div", "lines"));
    const word = lines.appendChild(make("span", "badge"));
    const lower = lines.appendChild(make("span", "minor"));
    return row => {
      const now = state(row);
      setText(word, now.replaceAll("_", " "));
      setAttribute(word, "data-state", now);
      const below = second(row);
      setText(lower, below);
      lower.hidden = below === "";
    };
  };
}

/** So many of so many, as numbers and as a bar. */
export function meter<R>(used: (row: R) => number, of: (row: R) => number): CellRenderer<R> {
  return cell => {
    const figures = make("span");
    const bar = make("div", "meter");
    bar.role = "meter";
    const level = drawing("rect");
    level.setAttribute("height", "100%");
    const picture = bar.appendChild(drawing("svg"));
    picture.append(level);
    cell.append(wrap("div", "load", figures, bar));
    return row => {
      const [now, most] = [used(row), of(row)];
      const share = most > 0 ? Math.min(1, now / most) : 0;
      setText(figures, `${now} / ${most}`);
      setAttribute(level, "width", `${Math.round(share * 100)}%`);
      setAttribute(bar, "data-level", share === 1 ? "full" : share > 0.5 ? "busy" : "free");
      setAttribute(bar, "aria-valuenow", String(now));
      setAttribute(bar, "aria-valuemax", String(most));
      setAttribute(bar, "aria-label", `${now} of ${most} in flight`);
    };
  };
}

// Entries of a list shown initially.
const SHOWN = 3;
/** Maximum entries of one list in the dashboard. */
const ENTRIES_MAX = 200;

/** A list, of which the first few are seen until a button is pressed. */
export function list<R>(read: (row: R) => readonly string[], noun: string): CellRenderer<R> {
  return cell => {
    const entries = cell.appendChild(make("ul", "chips"));
    let shown: readonly string[] = [];
    let open = false;
    const more = button("more", "", () => {
      open = !open;
      draw();
    });
    cell.append(more);
    const draw = (): void => {
      const visible = shown.slice(0, open ? ENTRIES_MAX : SHOWN);
      while (entries.childElementCount > visible.length) entries.lastElementChild?.remove();
      for (const [at, entry] of visible.entries()) {
        setText(entries.children[at] ?? entries.appendChild(make("li", "chip")), entry);
      }
      entries.hidden = visible.length === 0;
      const rest = shown.length - SHOWN;
      more.hidden = rest <= 0;
      setText(more, open ? "fewer" : `${rest} more`);
      setAttribute(more, "aria-expanded", String(open));
      setAttribute(more, "aria-label", open ? `Show fewer ${noun}` : `Show ${rest} more ${noun}`);
    };
    draw();
    return row => {
      const now = read(row);
      if (now.length === shown.length && now.every((entry, at) => entry === shown[at])) return;
      shown = now;
      draw();
    };
  };
}

// Characters of a long text shown initially.
const LONG = 72;

/** A text that may be long, as an error is. */
export function longText<R>(read: (row: R) => string, name = ""): CellRenderer<R> {
  return cell => {
    const line = cell.appendChild(make("span", name));
    let open = false;
    let whole = "";
    const more = button("more", "", () => {
      open = !open;
      draw();
    });
    cell.append(" ", more);
    const draw = (): void => {
      const long = whole.length > LONG;
      setText(line, long && !open ? `${whole.slice(0, LONG).trimEnd()}…` : whole || "–");
      line.classList.toggle("none", whole === "");
      more.hidden = !long;
      setText(more, open ? "less" : "more");
      setAttribute(more, "aria-expanded", String(open));
    };
    return row => {
      const now = read(row);
      if (now === whole && line.firstChild !== null) return;
      whole = now;
      draw();
    };
  };
}
