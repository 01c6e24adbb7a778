import { BoundedMap } from "../../lib/bounded-map.ts";
import type { Clock } from "../../lib/time.ts";

/** Maximum number of IDs whose worker is remembered; the least recently used is dropped. */
export const OWNERS_MAX = 50_000;
/** Time in milliseconds after the last use for which the worker of an ID is remembered. */
export const OWNER_KEPT_MS = 86_400_000;
/** Maximum length of an ID whose worker is remembered, in characters; longer ones are unknown. */
export const OWNED_ID_MAX = 256;

/** Where something is that outlives the request that made it. */
export interface Owner {
  /** The broker whose agent has it. */
  readonly node: string;
  /** The worker, by its id. */
  readonly worker: string;
  /** The caller that it belongs to; undefined for one whose credentials do not say who that is. */
  readonly caller: string | undefined;
}

/** Owners by the ids of what they have. Several brokers would share one; here each has its own. */
export interface OwnerMap {
  readonly size: number;
  get(id: string): Owner | undefined;
  /** Sets an owner for `ttlMs` from now on. */
  put(id: string, owner: Owner, ttlMs: number): void;
  delete(id: string): void;
}

/** The owners that this broker knows itself, the `max` that were put last. */
export class LocalOwnerMap implements OwnerMap {
  readonly #owners: BoundedMap<Owner>;

  constructor(clock: Pick<Clock, "now">, max: number) {
    this.#owners = new BoundedMap(max, { clock, ms: OWNER_KEPT_MS });
  }

  get size(): number {
    return this.#owners.size;
  }

  get(id: string): Owner | undefined {
    return this.#owners.get(id);
  }

  put(id: string, owner: Owner, ttlMs: number): void {
    this.#owners.set(id, owner, ttlMs);
  }

  delete(id: string): void {
    this.#owners.delete(id);
  }
}

/** Stands for the owner of an id that belongs to another caller. */
export const FOREIGN = Symbol("this ID belongs to another caller");

/** Maps stored items (tasks, responses, conversations) to their workers. Each belongs to one caller. */
export class Owners {
  constructor(
    private readonly map: OwnerMap,
    /** This broker. */
    private readonly node: string,
    private readonly ttlMs = OWNER_KEPT_MS,
  ) {}

  get size(): number {
    return this.map.size;
  }

  /** The id of the worker that has `id`; undefined when the broker does not know it, `FOREIGN` when it is another caller's. */
  find(id: string, caller: string): string | typeof FOREIGN | undefined {
    const owner = this.map.get(id);
    return owner?.caller === undefined || owner.caller === caller ? owner?.worker : FOREIGN;
  }

  /** A worker has `id`, which belongs to this caller. */
  remember(id: string, worker: string, caller: string | undefined): void {
    if (id !== "" && id.length <= OWNED_ID_MAX) this.map.put(id, { node: this.node, worker, caller }, this.ttlMs);
  }

  /** It has been used: it is remembered from now on as long as a new one. */
  touch(id: string): void {
    const owner = this.map.get(id);
    if (owner !== undefined) this.map.put(id, owner, this.ttlMs);
  }

  forget(id: string): void {
    this.map.delete(id);
  }
}
