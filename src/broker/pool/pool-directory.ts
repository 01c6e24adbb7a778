import type { Pool } from "./pool.ts";

/** The pools of the worker modules, for questions about all of them. */
export class PoolDirectory {
  readonly #pools: Pool[] = [];

  add(pool: Pool): void {
    this.#pools.push(pool);
  }

  /** The name of a model as a connected worker serves it; undefined when none does. */
  servedAs(model: string): string | undefined {
    for (const { registry } of this.#pools) {
      const served = registry.servedAs(model);
      if (served !== undefined) return served;
    }
    return undefined;
  }

  isConnected(workerId: string): boolean {
    return this.#pools.some(({ registry }) => registry.get(workerId) !== undefined);
  }
}
