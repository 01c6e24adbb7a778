// Operator actions: with a confirmation, and a key that only this page keeps.
import { announce, byId, dialogOf, field, setText } from "./element.ts";
import { plural } from "./format.ts";

export type Action = "drain" | "undrain" | "disconnect";

/** The worker that something is to be done to. */
export interface Target {
  module: string;
  id: string;
  name: string;
  inflight: number;
}

const WORDS: Record<Action, { verb: string; done: string; effect: (target: Target) => string }> = {
  drain: {
    verb: "Drain",
    done: "is draining",
    effect: ({ inflight }) =>
      `It stays connected but gets no new requests. ${inflight > 0 ? `Requests in flight continue: ${plural(inflight, "request")}.` : "It has no requests in flight."}`,
  },
  undrain: { verb: "Undrain", done: "accepts requests again", effect: () => "It gets new requests again." },
  disconnect: {
    verb: "Disconnect",
    done: "was disconnected",
    effect: ({ inflight }) =>
      `Closes the connection. ${inflight > 0 ? `Requests in flight are retried on another worker or fail: ${plural(inflight, "request")}. ` : ""}An agent with --reconnect connects again.`,
  },
};

/** The one dialog of the operator's actions. */
export class OperatorPanel {
  /** Whether the broker has an ADMIN_KEY, and with it these actions. */
  offered = false;
  #key = "";
  #asked: { action: Action; target: Target } | undefined;
  readonly #dialog = dialogOf("confirm");
  readonly #input = field("admin-key");
  readonly #go = byId("confirm-go");
  readonly #error = byId("confirm-error");

  constructor() {
    byId("confirm-form").addEventListener("submit", event => {
      event.preventDefault();
      void this.#act();
    });
    byId("confirm-cancel").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => {
      this.#asked = undefined;
      this.#input.value = "";
    });
  }

  /** True while the page holds an operator's key. */
  get known(): boolean {
    return this.#key !== "";
  }

  /** Asks whether to do this, and does it when the answer is yes. */
  ask(action: Action, target: Target): void {
    const { verb, effect } = WORDS[action];
    this.#asked = { action, target };
    setText(byId("confirm-title"), `${verb} ${target.name}?`);
    setText(byId("confirm-effect"), effect(target));
    setText(this.#go, verb);
    this.#go.classList.toggle("danger", action === "disconnect");
    setText(this.#error, "");
    this.#askKey(this.#key === "");
    this.#busy(false);
    this.#dialog.showModal();
  }

  async #act(): Promise<void> {
    const asked = this.#asked;
    if (asked === undefined) return;
    const { action, target } = asked;
    const key = this.#key || this.#input.value;
    this.#busy(true);
    const failure = await send(action, target, key);
    if (this.#asked !== asked) return;
    this.#busy(false);
    if (failure === undefined || failure.status !== 401) this.#key = key;
    if (failure === undefined) {
      this.#dialog.close();
      announce(`${target.name} ${WORDS[action].done}`);
      return;
    }
    setText(this.#error, failure.message);
    if (failure.status === 401) {
      this.#key = "";
      this.#askKey(true);
      this.#input.select();
    }
  }

  #askKey(wanted: boolean): void {
    byId("admin-key-field").hidden = !wanted;
    this.#input.required = wanted;
  }

  #busy(busy: boolean): void {
    this.#go.toggleAttribute("disabled", busy);
  }
}

/** Timeout of an operator action in the dashboard, in milliseconds. */
const ACTION_MS = 15_000;

/** Sends an action; returns the error, or undefined. */
async function send(
  action: Action,
  { module, id, name }: Target,
  key: string,
): Promise<{ status: number; message: string } | undefined> {
  try {
    const response = await fetch(`api/admin/${module}/workers/${encodeURIComponent(id)}/${action}`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(ACTION_MS),
    });
    if (response.ok) return undefined;
    const { status } = response;
    if (status === 401) return { status, message: "The broker rejected this key." };
    if (status === 403) return { status, message: "ADMIN_KEY is not set at this broker: operator actions are off." };
    if (status === 404) return { status, message: `${name} is no longer connected.` };
    return { status, message: `The broker responded with status ${status}.` };
  } catch {
    return { status: 0, message: "The broker did not respond." };
  }
}
