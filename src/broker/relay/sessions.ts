/** Maximum number of sessions whose owner is remembered; the least recently used is dropped. */
const SESSIONS_MAX = 100_000;

interface Owner {
  workerId: string;
  /** Who began it, as far as its credentials tell; undefined when they tell nothing. */
  caller: string | undefined;
}

/** Which relay has which session of MCP, and who began it. Relays choose the ids, so two of them may choose the same. */
export class Sessions {
  readonly #owners = new Map<string, Owner>();
  /** In how many relays there is a session of this id. */
  readonly #relays = new Map<string, number>();

  get size(): number {
    return this.#owners.size;
  }

  remember(session: string, relayId: string, owner: Owner): void {
    const key = keyOf(session, relayId);
    if (!this.#owners.delete(key)) this.#relays.set(session, (this.#relays.get(session) ?? 0) + 1);
    this.#owners.set(key, owner);
    if (this.#owners.size <= SESSIONS_MAX) return;
    const oldest = this.#owners.keys().next().value;
    if (oldest !== undefined) this.#forget(oldest);
  }

  /**
   * The worker that has a session; undefined when the broker does not know it, as after a restart: its server knows
   * whether it is one. `FOREIGN` when it is another caller's or another relay's.
   */
  find(session: string, relayId: string, caller: string): string | undefined | typeof FOREIGN {
    const owner = this.#owners.get(keyOf(session, relayId));
    if (owner === undefined) return this.#relays.has(session) ? FOREIGN : undefined;
    if (owner.caller !== undefined && owner.caller !== caller) return FOREIGN;
    this.remember(session, relayId, owner);
    return owner.workerId;
  }

  forget(session: string, relayId: string): void {
    this.#forget(keyOf(session, relayId));
  }

  #forget(key: string): void {
    if (!this.#owners.delete(key)) return;
    const session = key.slice(key.indexOf("\n") + 1);
    const left = (this.#relays.get(session) ?? 0) - 1;
    if (left > 0) this.#relays.set(session, left);
    else this.#relays.delete(session);
  }
}

/** Neither may hold a line feed. */
function keyOf(session: string, relayId: string): string {
  return `${relayId}\n${session}`;
}

export const FOREIGN = Symbol("another caller's session");
