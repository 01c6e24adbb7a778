import { networkOf } from "../../lib/network.ts";

/** Why an agent was not let in. */
export type AgentRefusal = "draining" | "not_websocket" | "unauthorized" | "too_many" | "not_registered" | "rejected";

/** Connections of agents that bring no key in their headers and have not registered, at most. */
export const KEYLESS_MAX = 64;
/** Connections of that kind from one address (of IPv6: from one /64), at most. */
export const KEYLESS_PER_ADDRESS = 4;
/**
 * Connections of that kind that are read at once; the others wait with their reading paused. Bun's limit for a message is the
 * same for every connection of a server, so this bounds what strangers can make a broker hold.
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

  /** True when one more connection from this address may bring its key later. */
  takesKeyless(address: string): boolean {
    return this.#keyless < KEYLESS_MAX && (this.#byNetwork.get(networkOf(address)) ?? 0) < KEYLESS_PER_ADDRESS;
  }

  /** Counts a connection that is to bring its key later; `read` is called when its turn to be read has come. */
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
