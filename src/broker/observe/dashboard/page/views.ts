// The views of plugins: HTML that a plugin makes of its own state, in its section. Only plain elements are made of it.
import { make, wrap } from "./element.ts";
import type { ApiKey } from "./key.ts";

/** Elements that a view can contain. Of others only the content is kept. */
const TAGS = [
  ...(["p", "div", "span", "b", "strong", "i", "em", "small", "code", "pre", "br", "hr", "h3", "h4"] as const),
  ...(["ul", "ol", "li", "dl", "dt", "dd"] as const),
  ...(["table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"] as const),
];
/** Elements that are removed with their content. */
const SILENT = "script, style, template, title, iframe, object, embed, svg, math, textarea, select, noscript";

/** The page's policy lets no other text become HTML. The types of the DOM do not know trusted types yet. */
const { trustedTypes } = globalThis as { trustedTypes?: { createPolicy(name: string, rules: Maker): Maker } };
interface Maker {
  createHTML(text: string): string;
}
const trusted = trustedTypes?.createPolicy("nfrx-view", { createHTML: text => text });

interface View {
  element: HTMLElement;
  text: string;
  asked: boolean;
}

export class Views {
  readonly #views = new Map<string, View>();

  /** `sectionFor` puts a section into the page for a plugin that has none. */
  constructor(
    private readonly key: ApiKey,
    private readonly sectionFor: (id: string) => HTMLElement,
  ) {}

  /** Shows the views of these plugins as they are now; one that cannot be had stays as it was. */
  update(ids: readonly string[]): void {
    for (const [id, { element }] of this.#views) element.hidden = !ids.includes(id);
    for (const id of ids) {
      const view = this.#views.get(id) ?? this.#add(id);
      if (view.asked) continue;
      view.asked = true;
      void this.#refresh(id, view).finally(() => {
        view.asked = false;
      });
    }
  }

  #add(id: string): View {
    const view = { element: make("div", "card view"), text: "", asked: false };
    (document.getElementById(`module-${id}`) ?? this.sectionFor(id)).append(view.element);
    this.#views.set(id, view);
    return view;
  }

  async #refresh(id: string, view: View): Promise<void> {
    const path = `api/state/view/${encodeURIComponent(id)}.html`;
    const response = await fetch(path, { headers: this.key.headers, cache: "no-store" }).catch(() => undefined);
    if (response?.status !== 200) return;
    const text = await response.text().catch(() => view.text);
    if (text === view.text) return;
    view.text = text;
    view.element.replaceChildren(...plain(text));
  }
}

/** The elements and texts of a piece of HTML, and nothing that could do something. */
function plain(text: string): Node[] {
  const parsed = new DOMParser().parseFromString(trusted?.createHTML(text) ?? text, "text/html");
  return [...parsed.body.childNodes].flatMap(plainOf);
}

function plainOf(node: Node): Node[] {
  if (node instanceof Text) return [document.createTextNode(node.data)];
  if (!(node instanceof Element) || node.matches(SILENT)) return [];
  const children = [...node.childNodes].flatMap(plainOf);
  const tag = TAGS.find(name => name === node.localName);
  return tag === undefined ? children : [wrap(tag, "", ...children)];
}
