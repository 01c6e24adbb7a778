/** Lines of a server's error output that are quoted when it exits: enough for a traceback. */
const LAST_LINES = 20;
/** Maximum size of these lines together, in characters. */
const LAST_LINES_CHARS = 4_000;

/** The last lines that a program has written, in bounded number and length. */
export class LastLines {
  readonly #lines: string[] = [];
  #chars = 0;

  add(line: string): void {
    if (line.trim() === "") return;
    const kept = line.trimEnd().slice(0, LAST_LINES_CHARS);
    this.#lines.push(kept);
    this.#chars += kept.length;
    while (this.#lines.length > LAST_LINES || this.#chars > LAST_LINES_CHARS) {
      this.#chars -= this.#lines.shift()?.length ?? 0;
    }
  }

  get text(): string {
    return this.#lines.join("\n");
  }
}
