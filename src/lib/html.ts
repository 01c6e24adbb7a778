// HTML from unchecked texts.

/** A piece of HTML in which everything from outside is escaped. Only `html` makes one. */
export class Html {
  readonly #text: string;

  /** Does not escape the text: only for `html`. */
  constructor(text: string) {
    this.#text = text;
  }

  toString(): string {
    return this.#text;
  }
}

/** Template values: texts are escaped, HTML is inserted unchanged. */
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
