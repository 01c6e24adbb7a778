// HTML made of texts that nobody has checked.

/** A piece of HTML in which everything from outside is escaped. Only `html` makes one. */
export class Html {
  readonly #text: string;

  /** Takes the text as it is: for `html` alone. */
  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** What may stand in a template: texts are escaped, pieces of HTML are taken as they are, nothing is left out. */
export type Piece = Html | string | number | boolean | null | undefined | readonly Piece[];

/**
 * A template of HTML: html`<td>${name}</td>`. Values are safe as text and within quoted attributes; not as names of tags
 * or attributes, nor in scripts, styles or URLs.
 */
export function html(strings: TemplateStringsArray, ...values: readonly Piece[]): Html {
  let text = "";
  strings.forEach((part, at) => {
    text += part + (at < values.length ? render(values[at]) : "");
  });
  return new Html(text);
}

function render(value: Piece): string {
  if (value === null || value === undefined) return "";
  if (value instanceof Html) return value.toString();
  if (typeof value === "object") return value.map(render).join("");
  return String(value).replace(/[&<>"'`]/g, sign => `&#${sign.charCodeAt(0)};`);
}
