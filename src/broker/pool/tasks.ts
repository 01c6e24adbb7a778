/** Tasks whose worker is remembered; the one that was asked for longest ago is forgotten beyond it. */
const TASKS_MAX = 10_000;

/** Which worker has which task: work that goes on after the request that began it. */
export class Tasks {
  /** Task id → worker id, the one that was asked for last at the end. */
  readonly #owners = new Map<string, string>();

  /** The id of the worker that has a task; undefined when the broker has not seen it begin. */
  owner(task: string): string | undefined {
    return this.#owners.get(task);
  }

  remember(task: string, workerId: string): void {
    this.#owners.delete(task);
    this.#owners.set(task, workerId);
    if (this.#owners.size <= TASKS_MAX) return;
    const oldest = this.#owners.keys().next().value;
    if (oldest !== undefined) this.#owners.delete(oldest);
  }
}
