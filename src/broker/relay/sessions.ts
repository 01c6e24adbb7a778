import { sha256 } from "../../lib/digest.ts";
import { FOREIGN, type OwnerMap, type Owners } from "../pool/owners.ts";

/** Maximum number of sessions whose owner is remembered; the least recently used is dropped. */
export const SESSIONS_MAX = 100_000;

/** Which relay has which session of MCP, and whose it is. Relays choose the ids, so two of them may choose the same. */
export class Sessions {
  constructor(
    private readonly node: string,
    /** By relay and session. */
    private readonly owners: Owners,
    /** The relay that has last named a session of this id. */
    private readonly relays: OwnerMap,
  ) {}

  get size(): number {
    return this.owners.size;
  }

  /** A relay's worker has a session; `caller` is undefined where credentials do not say who that is. */
  remember(session: string, relayId: string, worker: string, caller: string | undefined): void {
    this.owners.remember(keyOf(session, relayId), worker, caller);
    this.#note(session, relayId);
  }

  /**
   * The worker that has a session; undefined when the broker does not know it, as after a restart: its server knows
   * whether it is one. `FOREIGN` when it is another caller's or another relay's.
   */
  find(session: string, relayId: string, caller: string): string | undefined | typeof FOREIGN {
    const key = keyOf(session, relayId);
    const worker = this.owners.find(key, caller);
    if (worker === undefined) return this.relays.get(keyOf(session)) === undefined ? undefined : FOREIGN;
    if (worker === FOREIGN) return FOREIGN;
    this.owners.touch(key);
    this.#note(session, relayId);
    return worker;
  }

  forget(session: string, relayId: string): void {
    this.owners.forget(keyOf(session, relayId));
    if (this.relays.get(keyOf(session))?.worker === relayId) this.relays.delete(keyOf(session));
  }

  #note(session: string, relayId: string): void {
    const owner = { node: this.node, worker: relayId, caller: undefined };
    this.relays.put(keyOf(session), owner, Number.POSITIVE_INFINITY);
  }
}

/** A digest, since a session's id may be as long as a header. Neither id may hold a line feed. */
function keyOf(session: string, relayId = ""): string {
  return sha256(`${relayId}\n${session}`).toString("base64url");
}
