// An agent's place at one broker: dials, registers, sends heartbeats, and dials again when the link is lost.
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { Backoff, type Clock, every, pause } from "../lib/time.ts";
import type { RequestHead } from "../protocol/frames.ts";
import { CLOSE_NORMAL, HEARTBEAT_MS } from "../protocol/limits.ts";
import type { Link } from "../protocol/link.ts";
import type { ControlMessage } from "../protocol/messages.ts";
import type { Stream } from "../protocol/stream.ts";
import type { LinkStats } from "../protocol/wire.ts";
import { type BrokerEndpoint, DialRefusal, dial, dialRefusal } from "./dial.ts";
import { HostLoad } from "./host.ts";
import { FreeSlotsReport } from "./slots.ts";

/** Shared by all links of the agent. */
export interface LinkOwner {
  /** Self-report in these messages. */
  registration(version: 1 | 2, clientKey: string | undefined): ControlMessage;
  status(version: 1 | 2): ControlMessage;
  draining(): boolean;
  /** How many slots are free; undefined when the broker of its only link counts them itself. */
  freeSlots(): number | undefined;
  /** Models that it serves now, for the log. */
  modelCount(): number;
  serve(stream: Stream, head: RequestHead, link: BrokerLink): void;
  /** The broker has let the agent in. */
  accepted(): void;
  /** The broker cannot be reached, or is gone. */
  lost(reason: string): void;
  /** A link that was accepted is over. */
  disconnected(stats: LinkStats): void;
}

export interface BrokerLinkOptions {
  owner: LinkOwner;
  broker: BrokerEndpoint;
  /** Dials again and again. */
  reconnect: boolean;
  clock: Clock;
  random?: (() => number) | undefined;
  log: Logger;
  /** Ends it. */
  signal: AbortSignal;
}

export class BrokerLink {
  readonly broker: BrokerEndpoint;
  readonly #options: BrokerLinkOptions;
  readonly #backoff: Backoff;
  #link: Link | undefined;
  #free: FreeSlotsReport | undefined;
  #connecting = false;
  #accepted = false;
  /** Why the broker would not let this agent in, once that has been logged. */
  #refusal = "";
  #lastHeartbeat = 0;

  constructor(options: BrokerLinkOptions) {
    this.broker = options.broker;
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  get connecting(): boolean {
    return this.#connecting;
  }

  /** True while the broker has let the agent in. */
  get accepted(): boolean {
    return this.#accepted;
  }

  /** Milliseconds since 1970; 0 before the first one. */
  get lastHeartbeat(): number {
    return this.#lastHeartbeat;
  }

  /** Counters of the current link. */
  get stats(): LinkStats | undefined {
    return this.#link?.stats;
  }

  get version(): 1 | 2 | undefined {
    return this.#link?.version;
  }

  /** Links to the broker until the signal aborts. Rejects with the reason when it is not to come back. */
  async run(): Promise<void> {
    while (!this.#options.signal.aborted) await this.#session();
  }

  /** Reports how the agent is. */
  announce(): void {
    const link = this.#link;
    link?.control(this.#options.owner.status(link.version));
  }

  /** The number of free slots may have changed. */
  slotsChanged(): void {
    this.#free?.changed();
  }

  /** A request of this broker was refused because no slot is free. */
  slotRefused(): void {
    this.#free?.refused();
  }

  /** Tells the broker to open no more streams. */
  goaway(): void {
    this.#link?.goaway();
  }

  close(): void {
    this.#link?.close(CLOSE_NORMAL, "drained");
  }

  /** One connection, from dial to close, and the wait after it. Rejects when the agent is not to come back. */
  async #session(): Promise<void> {
    const { owner, reconnect, clock, log, broker, signal } = this.#options;
    let reason: string;
    let permanent = false;
    try {
      const began = clock.now();
      reason = await this.#connection();
      this.#backoff.held(clock.now() - began);
    } catch (error) {
      reason = `cannot connect to ${broker.url}: ${messageOf(error)}`;
      permanent = error instanceof DialRefusal && error.permanent;
    }
    if (signal.aborted) return;
    owner.lost(reason);
    if (!reconnect) throw new Error(reason);
    const wait = permanent ? this.#backoff.afterRefusal() : this.#backoff.next();
    const about = { reason, retry_in_ms: Math.round(wait) };
    if (!permanent) log.warn(about, "not connected");
    else if (reason !== this.#refusal) log.error(about, "rejected by the broker");
    else log.debug(about, "rejected by the broker again");
    this.#refusal = permanent ? reason : "";
    await pause(clock, wait, signal);
  }

  /** Resolves with the reason when the connection is over. */
  async #connection(): Promise<string> {
    const { owner, broker, clock, signal } = this.#options;
    const closed = Promise.withResolvers<string>();
    this.#connecting = true;
    try {
      const link = await dial({
        ...broker,
        clock,
        signal,
        events: {
          onStream: (stream, head) => owner.serve(stream, head, this),
          // There is no acknowledgement: the broker's first message after the registration means that it was accepted.
          onMessage: () => this.#onAccepted(link),
          onClosed: (code, reason) =>
            this.#accepted
              ? closed.resolve(`the connection was closed: ${code} ${reason}`.trim())
              : closed.reject(dialRefusal(broker, code, reason)),
        },
      });
      return await this.#membership(link, closed.promise);
    } finally {
      this.#connecting = false;
    }
  }

  /** Registers on a link and waits for its end. */
  async #membership(link: Link, closed: Promise<string>): Promise<string> {
    const { owner, broker, clock, log, signal } = this.#options;
    this.#link = link;
    this.#register(link);
    const load = new HostLoad();
    const beat = every(clock, HEARTBEAT_MS, () => this.#heartbeat(link, load));
    try {
      if (signal.aborted) this.close();
      return await closed;
    } finally {
      beat.cancel();
      this.#free?.close();
      this.#free = undefined;
      this.#link = undefined;
      if (this.#accepted) {
        this.#accepted = false;
        owner.disconnected(link.stats);
        log.info({ server_url: broker.url }, "disconnected");
      }
    }
  }

  #onAccepted(link: Link): void {
    const { owner, broker, log } = this.#options;
    this.#connecting = false;
    this.#accepted = true;
    this.#refusal = "";
    owner.accepted();
    log.info({ server_url: broker.url, wire: link.version, models: owner.modelCount() }, "connected");
  }

  #register(link: Link): void {
    const { owner, broker, clock } = this.#options;
    link.control(owner.registration(link.version, broker.clientKey));
    if (owner.draining()) this.announce();
    if (link.version === 1) {
      // A v1 broker may send nothing by itself. It answers this ping once it has accepted the registration.
      link.ping();
    } else if (owner.freeSlots() !== undefined) {
      const send = (free: number): void => link.control({ type: "free_slots", free });
      this.#free = new FreeSlotsReport(clock, () => owner.freeSlots() ?? 0, send);
      this.#free.changed();
    }
  }

  #heartbeat(link: Link, load: HostLoad): void {
    this.#lastHeartbeat = this.#options.clock.wall();
    link.control({
      type: "heartbeat",
      ts: Math.floor(this.#lastHeartbeat / 1000),
      host_cpu_percent: load.cpuPercent(),
      host_ram_used_percent: load.ramPercent(),
    });
  }
}
