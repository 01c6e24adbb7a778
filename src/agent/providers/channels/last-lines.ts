/** Lines of a server's error output that explain its end: as many as a traceback has that says something. */
const LAST_LINES = 20;
/** Characters of all of them together. */
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
