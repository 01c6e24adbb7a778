import type { Logger } from "../../lib/log.ts";
import { readState, type StateSources } from "./state.ts";
import { StateStream } from "./stream.ts";

/** The state and its streams: one for operators, with more detail, and one for all other callers. */
export class StateStreams {
  readonly #all: StateStream;
  readonly #operator: StateStream;

  constructor(
    private readonly sources: StateSources,
    log: Logger,
  ) {
    const stream = (operator: boolean): StateStream =>
      new StateStream(
        sources.clock,
        () => this.read(operator),
        error => log.error({ cause: String(error) }, "cannot read the state"),
      );
    this.#all = stream(false);
    this.#operator = stream(true);
  }

  /** Responses that are open. */
  get listeners(): number {
    return this.#all.listeners + this.#operator.listeners;
  }

  stream(operator: boolean): StateStream {
    return operator ? this.#operator : this.#all;
  }

  /** The state as it is now, as JSON. */
  read(operator: boolean): Promise<string> {
    return readState(this.sources, operator, this.listeners);
  }

  close(): void {
    this.#all.close();
    this.#operator.close();
  }
}
