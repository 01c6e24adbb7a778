// Elements. Everything from workers and clients becomes text here and never HTML.

type Tag = keyof HTMLElementTagNameMap;

/** A new element with a class and a text. */
export function make<T extends Tag>(tag: T, name = "", text = ""): HTMLElementTagNameMap[T] {
  const element = document.createElement(tag);
  if (name !== "") element.className = name;
  if (text !== "") element.textContent = text;
  return element;
}

/** An element with others inside it. */
export function wrap<T extends Tag>(tag: T, name: string, ...children: (Node | string)[]): HTMLElementTagNameMap[T] {
  const element = make(tag, name);
  element.append(...children);
  return element;
}

/** A new element of a drawing. */
export function drawing<T extends keyof SVGElementTagNameMap>(tag: T): SVGElementTagNameMap[T] {
  return document.createElementNS("http://www.w3.org/2000/svg", tag);
}

/** A push button that submits nothing. */
export function button(name: string, text: string, press: () => void): HTMLButtonElement {
  const element = make("button", name, text);
  element.type = "button";
  element.addEventListener("click", press);
  return element;
}

/** Sets a text only when it is another one: a selection in an untouched text stays. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets an attribute, or takes it away, only when that changes something. */
export function setAttribute(element: Element, name: string, value: string | undefined): void {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** An element of the page by its id. */
export function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

/** A form field of the page by its id. */
export function field(id: string): HTMLInputElement {
  const element = byId(id);
  if (!(element instanceof HTMLInputElement)) throw new Error(`#${id} is not an input`);
  return element;
}

/** A dialog of the page by its id. */
export function dialogOf(id: string): HTMLDialogElement {
  const element = byId(id);
  if (!(element instanceof HTMLDialogElement)) throw new Error(`#${id} is not a dialog`);
  return element;
}

/** Announces a text to screen readers. */
export function announce(text: string): void {
  byId("said").textContent = text;
}
