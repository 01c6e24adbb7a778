import { networkOf } from "../../lib/network.ts";

/** Why an agent was not let in. */
export type AgentRefusal = "draining" | "not_websocket" | "unauthorized" | "too_many" | "not_registered" | "rejected";

/** Maximum number of unregistered agent connections without a key in the headers. */
export const KEYLESS_MAX = 64;
/** Maximum number of such connections from one address (IPv6: one /64). */
export const KEYLESS_PER_ADDRESS = 4;
/**
 * Maximum number of such connections that are read concurrently; reading of the others is paused. Bun's message limit
 * applies to all connections of a server, so this bounds the memory that unauthenticated clients can use.
 */
export const KEYLESS_READ_AT_ONCE = 4;

/** A connection without a key in its headers, until it has registered or is gone. */
export interface KeylessPlace {
  /** Gives the place back. Further calls do nothing. */
  leave(): void;
}

interface Waiter {
  read(): void;
}

/** How many agents may be connected, all modules together, and how many connections may still have to show a key. */
export class Admission {
  #agents = 0;
  #keyless = 0;
  #reading = 0;
  readonly #byNetwork = new Map<string, number>();
  readonly #line = new Set<Waiter>();

  constructor(private readonly maxAgents: number) {}

  /** True when one more agent may connect. */
  get hasRoom(): boolean {
    return this.#agents < this.maxAgents;
  }

  /** Counts an agent; the function returned takes it out again, once. */
  join(): () => void {
    this.#agents++;
    return once(() => this.#agents--);
  }

  /** True if another connection from this address can send its key later. */
  takesKeyless(address: string): boolean {
    return this.#keyless < KEYLESS_MAX && (this.#byNetwork.get(networkOf(address)) ?? 0) < KEYLESS_PER_ADDRESS;
  }

  /** Registers a connection that will send its key later; `read` is called when it can be read. */
  keyless(address: string, read: () => void): KeylessPlace {
    const waiter: Waiter = { read };
    const network = networkOf(address);
    this.#keyless++;
    this.#byNetwork.set(network, (this.#byNetwork.get(network) ?? 0) + 1);
    this.#line.add(waiter);
    const leave = once(() => {
      this.#keyless--;
      const left = (this.#byNetwork.get(network) ?? 1) - 1;
      if (left > 0) this.#byNetwork.set(network, left);
      else this.#byNetwork.delete(network);
      if (!this.#line.delete(waiter)) this.#reading--;
      this.#next();
    });
    this.#next();
    return { leave };
  }

  #next(): void {
    for (const waiter of this.#line) {
      if (this.#reading >= KEYLESS_READ_AT_ONCE) return;
      this.#line.delete(waiter);
      this.#reading++;
      waiter.read();
    }
  }
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    run();
  };
}
