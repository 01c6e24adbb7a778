import type { Clock } from "../../../lib/time.ts";

/** Maximum output lines of one server that are logged per minute; further ones are counted. */
const SERVER_LOG_LINES = 60;
/** Maximum length of such a line, in characters. */
const SERVER_LOG_CHARS = 1000;

const MINUTE_MS = 60_000;

/** Logs the output of another program with limited rate and length, and the number of dropped lines. */
export class RateLog {
  #since: number;
  #lines = 0;
  #dropped = 0;

  constructor(
    private readonly clock: Clock,
    private readonly write: (fields: object, message: string) => void,
  ) {
    this.#since = clock.now();
  }

  line(text: string, message: string): void {
    const now = this.clock.now();
    if (now - this.#since >= MINUTE_MS) {
      if (this.#dropped > 0) this.write({ lines: this.#dropped }, "suppressed output lines of the MCP server");
      this.#since = now;
      this.#lines = this.#dropped = 0;
    }
    if (this.#lines++ < SERVER_LOG_LINES) this.write({ line: text.slice(0, SERVER_LOG_CHARS) }, message);
    else this.#dropped++;
  }
}
