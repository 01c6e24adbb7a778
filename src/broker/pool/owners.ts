import { BoundedMap } from "../../lib/bounded-map.ts";
import type { Clock } from "../../lib/time.ts";

/** Maximum number of IDs whose worker is remembered; the least recently used is dropped. */
export const OWNERS_MAX = 50_000;
/** Time in milliseconds after the last use for which the worker of an ID is remembered. */
export const OWNER_KEPT_MS = 86_400_000;
/** Maximum length of an ID whose worker is remembered, in characters; longer ones are unknown. */
export const OWNED_ID_MAX = 256;

interface Owner {
  workerId: string;
  /** The caller that owns the ID. */
  caller: string;
}

/** Stands for the owner of an id that belongs to another caller. */
export const FOREIGN = Symbol("this ID belongs to another caller");

/** Maps stored items (tasks, responses, conversations) to their workers. Each belongs to one caller. */
export class Owners {
  readonly #owners: BoundedMap<Owner>;

  constructor(clock: Clock) {
    this.#owners = new BoundedMap(OWNERS_MAX, { clock, ms: OWNER_KEPT_MS });
  }

  /** The id of the worker that has `id`; undefined when the broker does not know it, `FOREIGN` when it is another caller's. */
  find(id: string, caller: string): string | typeof FOREIGN | undefined {
    const owner = this.#owners.get(id);
    return owner === undefined || owner.caller === caller ? owner?.workerId : FOREIGN;
  }

  /** A worker has `id`, which belongs to this caller. */
  remember(id: string, workerId: string, caller: string): void {
    if (id !== "" && id.length <= OWNED_ID_MAX) this.#owners.set(id, { workerId, caller });
  }
}
