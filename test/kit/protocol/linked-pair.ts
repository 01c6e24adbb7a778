import type { Clock } from "../../../src/lib/time.ts";
import { Link } from "../../../src/protocol/link.ts";
import type { LinkEvents, Socket } from "../../../src/protocol/wire.ts";
import { wireOf } from "../../../src/protocol/wire-of.ts";

/**
 * Two links joined in memory, for tests: nothing moves until `step` is called, which makes every interleaving a matter
 * of the caller's choice. `queued` messages wait on each way; what is deferred by a link is a step as well.
 */
export class LinkedPair {
  readonly broker: Link;
  readonly agent: Link;
  readonly #sockets: { broker: FakeSocket; agent: FakeSocket };

  constructor(options: {
    clock: Clock;
    version?: 1 | 2;
    kind?: "worker" | "mcp";
    broker?: LinkEvents;
    agent?: LinkEvents;
  }) {
    const toAgent = new FakeSocket();
    const toBroker = new FakeSocket();
    this.#sockets = { broker: toBroker, agent: toAgent };
    const wire = wireOf(options.version ?? 2, options.kind);
    const make = (side: "broker" | "agent", out: FakeSocket, back: FakeSocket, events: LinkEvents): Link =>
      new Link({ socket: out, clock: options.clock, side, wire, events, defer: run => back.deferred.push(run) });
    this.broker = make("broker", toAgent, toBroker, options.broker ?? {});
    this.agent = make("agent", toBroker, toAgent, options.agent ?? {});
    toAgent.from = this.broker;
    toAgent.to = this.agent;
    toBroker.from = this.agent;
    toBroker.to = this.broker;
  }

  /** What could happen next at each end: deferred work and messages to deliver. */
  pending(side: "broker" | "agent"): number {
    return this.#sockets[side].deferred.length + this.#sockets[side].messages.length;
  }

  /** Bytes on their way to this end. */
  inFlight(side: "broker" | "agent"): number {
    return this.#sockets[side].bytes;
  }

  /** Lets one thing happen at this end: a deferred job if there is one, else the next message. False when nothing was left. */
  step(side: "broker" | "agent"): boolean {
    return this.#sockets[side].step();
  }

  /** Steps both ends until nothing moves any more. */
  settle(): void {
    while (this.step("broker") || this.step("agent"));
  }
}

/** One direction: the socket of the sender and the inbox of the receiver. */
class FakeSocket implements Socket {
  readonly messages: (Uint8Array | string | "ping" | Farewell)[] = [];
  readonly deferred: (() => void)[] = [];
  bytes = 0;
  from: Link | undefined;
  to: Link | undefined;
  #closed = false;

  send(message: Uint8Array | string): boolean {
    if (this.#closed) return false;
    this.messages.push(typeof message === "string" ? message : new Uint8Array(message));
    this.bytes += message.length;
    return true;
  }

  buffered(): number {
    return this.bytes;
  }

  step(): boolean {
    const job = this.deferred.shift();
    if (job !== undefined) {
      job();
      return true;
    }
    const message = this.messages.shift();
    if (message === undefined) return false;
    if (typeof message === "object" && "code" in message) {
      this.to?.lost(message.code, message.reason);
      return true;
    }
    if (message === PING) {
      this.from?.ponged();
      return true;
    }
    this.bytes -= message.length;
    this.to?.receive(message);
    this.from?.drained();
    return true;
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.messages.push({ code, reason });
  }

  terminate(): void {
    this.#closed = true;
    this.to?.lost(1006, "");
  }

  ping(): void {
    this.messages.push(PING);
  }
}

const PING = "ping";

/** A close on its way, behind what was sent before. */
interface Farewell {
  code: number;
  reason: string;
}
