/** Maximum number of remembered IDs of drained workers; the oldest is dropped. */
export const DRAINED_IDS_MAX = 1_000;

/** Whom an operator has drained: they stay so when they come back. */
export class DrainedIds {
  readonly #ids = new Set<string>();

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  set(id: string, drained: boolean): void {
    this.#ids.delete(id);
    if (!drained) return;
    this.#ids.add(id);
    const [oldest] = this.#ids;
    if (this.#ids.size > DRAINED_IDS_MAX && oldest !== undefined) this.#ids.delete(oldest);
  }
}
