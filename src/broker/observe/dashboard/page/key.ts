// The API key: requested if the broker requires one, and stored for this tab only.
import { byId, dialogOf, field, setText } from "./element.ts";

const STORED = "nfrx.api_key";

export class ApiKey {
  #key = sessionStorage.getItem(STORED) ?? "";
  /** Passes the entered key to the caller. */
  #answer: (() => void) | undefined;
  readonly #dialog = dialogOf("sign-in");
  readonly #input = field("api-key");
  readonly #error = byId("sign-in-error");
  readonly #go = byId("sign-in-go");

  /**
   * `onChange` is called when the page gets a key, or waits for one; `onRetry` when there is a key to try without a
   * prompt.
   */
  constructor(
    private readonly onChange: () => void,
    onRetry: () => void,
  ) {
    byId("sign-in-form").addEventListener("submit", event => {
      event.preventDefault();
      this.#key = this.#input.value;
      this.#go.toggleAttribute("disabled", true);
      if (this.#answer === undefined) onRetry();
      else this.#answer();
    });
    this.#dialog.addEventListener("close", onChange);
  }

  /** The headers that carry it. */
  get headers(): Record<string, string> {
    return this.#key === "" ? {} : { authorization: `Bearer ${this.#key}` };
  }

  get known(): boolean {
    return sessionStorage.getItem(STORED) !== null;
  }

  /** True while a key is wanted and the dialog has been put away. */
  get missing(): boolean {
    return this.#answer !== undefined && !this.#dialog.open;
  }

  /** The broker wants a key, another one if there was one. Resolves when there is something to try. */
  async ask(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#answer = resolve;
    setText(this.#error, this.#key === "" ? "" : "The broker rejected this key.");
    this.#go.toggleAttribute("disabled", false);
    if (this.#dialog.open) this.#input.select();
    else this.show();
    await promise;
    this.#answer = undefined;
  }

  /** There was no answer to the key: it may be right, and another may be tried. */
  lost(why: string): void {
    if (!this.#dialog.open) return;
    setText(this.#error, why);
    this.#go.toggleAttribute("disabled", false);
  }

  /** Opens the dialog, again if it was put away. */
  show(): void {
    this.#dialog.showModal();
    this.onChange();
  }

  /** The broker took the key. */
  accepted(): void {
    if (this.#key !== "") sessionStorage.setItem(STORED, this.#key);
    this.#input.value = "";
    if (this.#dialog.open) this.#dialog.close();
    this.onChange();
  }

  /** Forgets every key: the page starts anew, and with it goes the operator's. */
  forget(): void {
    sessionStorage.removeItem(STORED);
    location.reload();
  }
}
