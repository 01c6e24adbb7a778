import { Gate } from "../time/gate.ts";

/** A gate for one answer: its first piece passes, the others wait at the gate that all answers share. */
export class AfterFirst extends Gate {
  #begun = false;

  constructor(private readonly shared: Gate) {
    super();
  }

  override wait(signal?: AbortSignal): Promise<void> {
    if (this.#begun) return this.shared.wait(signal);
    this.#begun = true;
    return Promise.resolve();
  }
}
