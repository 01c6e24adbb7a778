// Servers that a test holds in its hand, instead of processes: what they are sent is kept, what they say the test says.
import type { Channel, ChannelEvents, OpenChannel } from "../../../src/agent/providers/channels/channel.ts";
import { readMessages } from "../../../src/agent/providers/channels/message.ts";
import { NfrxError } from "../../../src/lib/errors.ts";
import { Changes } from "../time/until.ts";

export class HandServer implements Channel {
  readonly sent: Record<string, unknown>[] = [];
  paused = false;
  ended = false;
  readonly #end = Promise.withResolvers<void>();

  constructor(
    private readonly events: ChannelEvents,
    private readonly changes: Changes,
    private readonly answers: (message: Record<string, unknown>, server: HandServer) => void,
    private readonly endsSlowly: boolean,
  ) {}

  send(line: string): void {
    if (this.ended) throw new NfrxError("upstream_error", "it has ended");
    const message: Record<string, unknown> = JSON.parse(line);
    this.sent.push(message);
    this.changes.notify();
    // As with a process, no answer comes before the asking is done.
    queueMicrotask(() => this.answers(message, this));
  }

  pause(): void {
    this.paused = true;
    this.changes.notify();
  }

  resume(): void {
    this.paused = false;
    this.changes.notify();
  }

  close(): Promise<void> {
    if (!this.endsSlowly) this.end("closed");
    return this.#end.promise;
  }

  kill(): void {
    this.end("killed");
  }

  /** Lets it say something. */
  say(message: object): void {
    if (this.ended) return;
    for (const each of readMessages(JSON.stringify({ jsonrpc: "2.0", ...message })).messages) this.events.message(each);
  }

  /** Lets it end. */
  end(reason: string): void {
    if (this.ended) return;
    this.ended = true;
    this.#end.resolve();
    this.events.ended(reason);
    this.changes.notify();
  }
}

/** What a server does that only shakes hands. */
export function shakesHands({ id, method }: Record<string, unknown>, server: HandServer): void {
  if (method === "initialize") server.say({ id, result: { protocolVersion: "2025-11-25", capabilities: {} } });
  else if (method === "server/discover") server.say({ id, error: { code: -32601, message: "Method not found" } });
}

/** All the servers that were opened. */
export class Hand {
  readonly servers: HandServer[] = [];
  readonly changes = new Changes();
  /** Those that are opened from now on do not end by themselves when they are closed. */
  endsSlowly = false;

  constructor(private readonly answers: (message: Record<string, unknown>, server: HandServer) => void = shakesHands) {}

  readonly open: OpenChannel = events => {
    const server = new HandServer(events, this.changes, this.answers, this.endsSlowly);
    this.servers.push(server);
    this.changes.notify();
    return server;
  };

  get running(): number {
    return this.servers.filter(({ ended }) => !ended).length;
  }

  /** The last one that was opened. */
  get last(): HandServer {
    const server = this.servers.at(-1);
    if (server === undefined) throw new Error("no server was opened");
    return server;
  }
}
