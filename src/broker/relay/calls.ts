import { MCP_METHODS } from "../../lib/mcp-methods.ts";
import type { Clock } from "../../lib/time.ts";
import type { RelaysState } from "../../modules/state.ts";

/** Maximum number of non-standard method names that are counted separately; further ones count as `other`. */
const OTHERS_MAX = 100;

interface RunningCall {
  relayId: string;
  method: string;
  startedAt: number;
  began: number;
}

/** The calls that are under way, and how many of which method each relay has had; for the state. */
export class Calls {
  readonly #running = new Map<object, RunningCall & { id: string }>();
  readonly #functions = new Map<string, Map<string, number>>();
  readonly #others = new Set<string>();

  constructor(
    private readonly clock: Clock,
    /** True while a relay of this id is connected. */
    private readonly isRelay: (id: string) => boolean,
  ) {}

  /** The name under which a method is counted: callers may make up as many as they like. */
  nameOf(method: string): string {
    if (MCP_METHODS.has(method) || this.#others.has(method)) return method;
    if (this.#others.size >= OTHERS_MAX) return "other";
    this.#others.add(method);
    return method;
  }

  /** Counts a call in, by its name; call the returned function at its end. */
  begin(relayId: string, id: string, method: string): () => void {
    const key = {};
    this.#running.set(key, { id, relayId, method, startedAt: this.clock.wall(), began: this.clock.now() });
    if (this.isRelay(relayId)) this.#count(relayId, method);
    return () => this.#running.delete(key);
  }

  /** Forgets a relay that is gone. */
  forget(relayId: string): void {
    this.#functions.delete(relayId);
  }

  functionsOf(relayId: string): Record<string, number> {
    return Object.fromEntries(this.#functions.get(relayId) ?? []);
  }

  #count(relayId: string, method: string): void {
    const counts = this.#functions.get(relayId) ?? new Map<string, number>();
    counts.set(method, (counts.get(method) ?? 0) + 1);
    this.#functions.set(relayId, counts);
  }

  /** How many are under way. */
  get size(): number {
    return this.#running.size;
  }

  /** The calls under way as the state shows them, the first `max` of them, the oldest first. */
  list(max: number): RelaysState["sessions"] {
    const now = this.clock.now();
    return [...this.#running.values().take(max)].map(({ id, relayId, method, startedAt, began }) => ({
      id,
      client_id: relayId,
      method,
      started_at: new Date(startedAt).toISOString(),
      duration_ms: Math.round(now - began),
    }));
  }
}
