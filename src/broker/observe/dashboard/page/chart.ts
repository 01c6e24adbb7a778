// A small chart of the last minutes as bars or lines; its label describes it for screen readers.
import { byId, drawing, make, setAttribute, setText, wrap } from "./element.ts";
import { timeOfDay } from "./format.ts";

// The picture's own units: it is stretched to its place.
const HEIGHT = 100;
const STEP = 10;

type Points = readonly (number | null)[];

interface Trace {
  name: string;
  /** Names its colour. */
  tone: "main" | "second" | "bad";
  points: Points;
}

export interface ChartState {
  traces: readonly Trace[];
  intervalMs: number;
  until: number;
}

export interface ChartOptions {
  id: string;
  bars: boolean;
  /** The least value that the upper edge stands for. */
  least: number;
  /** A value with its unit. */
  says: (value: number) => string;
}

/** Draws into the figure of the page with that id. */
export class Chart {
  readonly #figure: HTMLElement;
  readonly #svg = drawing("svg");
  readonly #cursor = drawing("path");
  readonly #paths: SVGPathElement[] = [];
  readonly #now = make("p", "now");
  readonly #most = make("span", "most");
  readonly #from = make("span");
  readonly #to = make("span", "", "now");
  #state: ChartState | undefined;
  /** The interval under the pointer. */
  #at: number | undefined;

  constructor(private readonly options: ChartOptions) {
    this.#figure = byId(options.id);
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("role", "img");
    this.#cursor.setAttribute("class", "cursor");
    this.#svg.append(this.#cursor);
    this.#figure.append(
      wrap("div", "line-up", this.#now, this.#most),
      wrap("div", "plot", this.#svg),
      wrap("p", "axis", this.#from, this.#to),
    );
    this.#svg.addEventListener("pointermove", event => this.#point(event));
    this.#svg.addEventListener("pointerleave", () => this.#point(undefined));
  }

  update(state: ChartState): void {
    this.#state = state;
    const length = this.#length;
    const values = state.traces.flatMap(({ points }) => points.filter(point => point !== null));
    const peak = Math.max(0, ...values);
    const top = Math.max(peak * 1.08, this.options.least);
    setAttribute(this.#svg, "viewBox", `0 0 ${length * STEP} ${HEIGHT}`);
    for (const [at, { tone, points }] of state.traces.entries()) {
      const path = this.#paths[at] ?? this.#newPath();
      setAttribute(path, "class", `${this.options.bars ? "bars" : "line"} ${tone}`);
      setAttribute(path, "d", this.options.bars ? bars(points, top) : line(points, top));
    }
    setText(this.#most, peak > 0 ? `peak ${this.options.says(peak)}` : "");
    setText(this.#from, `${Math.round((length * state.intervalMs) / 60_000)} min ago`);
    setAttribute(this.#svg, "aria-label", this.#words(length - 1, `peak ${this.options.says(peak)}`));
    this.#read();
  }

  get #length(): number {
    return Math.max(1, ...(this.#state?.traces.map(({ points }) => points.length) ?? []));
  }

  #newPath(): SVGPathElement {
    const path = drawing("path");
    this.#svg.insertBefore(path, this.#cursor);
    this.#paths.push(path);
    return path;
  }

  #point(event: PointerEvent | undefined): void {
    const { left, width } = this.#svg.getBoundingClientRect();
    this.#at =
      event && Math.min(this.#length - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * this.#length)));
    this.#read();
  }

  /** Shows the values under the pointer, or the last ones. */
  #read(): void {
    const state = this.#state;
    if (state === undefined) return;
    const at = this.#at ?? this.#length - 1;
    const x = (at + 0.5) * STEP;
    setAttribute(this.#cursor, "d", this.#at === undefined ? "" : `M${x} 0V${HEIGHT}`);
    while (this.#now.childElementCount > state.traces.length) this.#now.lastElementChild?.remove();
    for (const [index, { name, tone, points }] of state.traces.entries()) {
      const shown = this.#now.children[index] ?? this.#now.appendChild(wrap("span", "", make("b"), make("i")));
      setAttribute(shown, "class", tone);
      const [value, label] = shown.children;
      if (value !== undefined) setText(value, this.#says(points[at]));
      if (label !== undefined) setText(label, name);
    }
    const end = state.until - (this.#length - 1 - at) * state.intervalMs;
    setText(this.#to, this.#at === undefined ? "now" : timeOfDay(end));
  }

  #words(at: number, more: string): string {
    const now = this.#state?.traces.map(({ name, points }) => `${name} ${this.#says(points[at])}`).join(", ");
    return `${this.#figure.querySelector("figcaption")?.textContent ?? ""}: ${now}; ${more}`;
  }

  #says(value: number | null | undefined): string {
    return value === null || value === undefined ? "–" : this.options.says(value);
  }
}

const y = (value: number, top: number): string => (HEIGHT * (1 - value / top)).toFixed(1);

/** A bar for each value that is not nothing. */
function bars(points: Points, top: number): string {
  return points
    .map((value, at) => (value ? `M${at * STEP + 1.5} ${HEIGHT}V${y(value, top)}h${STEP - 3}V${HEIGHT}z` : ""))
    .join("");
}

/** A line from value to value, with a gap where there is none; a lonely value is a short stroke. */
function line(points: Points, top: number): string {
  return points
    .map((value, at) => {
      if (value === null) return "";
      const lonely = (points[at - 1] ?? null) === null && (points[at + 1] ?? null) === null;
      if (lonely) return `M${at * STEP + 2} ${y(value, top)}h${STEP - 4}`;
      return `${(points[at - 1] ?? null) === null ? "M" : "L"}${(at + 0.5) * STEP} ${y(value, top)}`;
    })
    .join("");
}
