// Links without sockets: two joined in memory, or one whose peer is the test itself.
import { decodeFrames, type Head, type RequestHead } from "../../../src/protocol/frames.ts";
import { Link } from "../../../src/protocol/link.ts";
import type { Stream } from "../../../src/protocol/stream.ts";
import type { LinkEvents, Socket } from "../../../src/protocol/wire.ts";
import { wireOf } from "../../../src/protocol/wire-of.ts";
import { LinkedPair } from "../../kit/protocol/linked-pair.ts";
import { TestClock } from "../../kit/time/clock.ts";

export const POST: RequestHead = { method: "POST", path: "/chat/completions", headers: [["accept", "*/*"]] };
export const GET: RequestHead = { method: "GET", path: "/models", headers: [] };
export const OK = { status: 200, headers: [["content-type", "text/plain"]] as [string, string][] };

/** Lets everything run that waits for a promise. */
export function microtasks(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}

export interface Closed {
  code: number;
  reason: string;
}

/** A pair of links and what was seen at each end. */
export class Ends {
  readonly clock = new TestClock();
  readonly pair: LinkedPair;
  /** Streams that came to the agent, in order. */
  readonly served: Stream[] = [];
  readonly requests: RequestHead[] = [];
  readonly closed: { broker: Closed[]; agent: Closed[] } = { broker: [], agent: [] };
  readonly control: { broker: object[]; agent: object[] } = { broker: [], agent: [] };
  readonly goaways = { broker: 0, agent: 0 };

  constructor(
    version: 1 | 2,
    serve: (stream: Stream, head: RequestHead) => void = () => {},
    kind: "worker" | "mcp" = "worker",
  ) {
    const events = (side: "broker" | "agent"): LinkEvents => ({
      onControl: message => this.control[side].push(message),
      onGoaway: () => this.goaways[side]++,
      onClosed: (code, reason) => this.closed[side].push({ code, reason }),
    });
    this.pair = new LinkedPair({
      clock: this.clock,
      version,
      kind,
      broker: events("broker"),
      agent: {
        ...events("agent"),
        onStream: (stream, head) => {
          this.served.push(stream);
          this.requests.push(head);
          serve(stream, head);
        },
      },
    });
  }

  get broker(): Link {
    return this.pair.broker;
  }

  get agent(): Link {
    return this.pair.agent;
  }

  /** The stream that came last to the agent. */
  get last(): Stream {
    const stream = this.served.at(-1);
    if (stream === undefined) throw new Error("no stream came");
    return stream;
  }

  /** Moves messages and lets promises run until nothing happens any more. */
  async quiet(): Promise<void> {
    do {
      this.pair.settle();
      await microtasks();
    } while (this.pair.pending("broker") + this.pair.pending("agent") > 0);
  }

  /** Both ends hold nothing. */
  get counts(): object {
    const { broker, agent } = this;
    return { broker: [broker.streams, broker.growth], agent: [agent.streams, agent.growth] };
  }
}

export const NOTHING_HELD = { broker: [0, 0], agent: [0, 0] };

/** A promise that may be looked at. */
export class Watched<T> {
  done = false;
  value: T | undefined;
  error: unknown;

  constructor(promise: Promise<T>) {
    promise.then(
      value => {
        this.done = true;
        this.value = value;
      },
      (error: unknown) => {
        this.done = true;
        this.error = error;
      },
    );
  }
}

/** Reads a body to its end; rejects as the stream does. */
export async function drain(stream: Stream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) chunks.push(bytes);
  return Buffer.concat(chunks);
}

/** Bytes that tell their place. */
export function pattern(length: number, seed = 0): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at++) bytes[at] = byteAt(at, seed);
  return bytes;
}

export function byteAt(at: number, seed: number): number {
  return (at ^ (at >> 8) ^ (at >> 16) ^ seed) & 0xff;
}

/** A frame as README.md lays it out, made without the code under test. */
export function frame(kind: number, id: number, payload: Uint8Array | string = "", flags = 0): Buffer {
  const bytes = Buffer.from(payload);
  const header = Buffer.alloc(10);
  header[0] = kind;
  header[1] = flags;
  header.writeUInt32BE(id, 2);
  header.writeUInt32BE(bytes.length, 6);
  return Buffer.concat([header, bytes]);
}

export const headFrame = (id: number, head: unknown, end = false): Buffer =>
  frame(1, id, JSON.stringify(head), end ? 1 : 0);
export const dataFrame = (id: number, bytes: Uint8Array | string, end = false): Buffer =>
  frame(2, id, bytes, end ? 1 : 0);
export const resetFrame = (id: number, code: string, message = ""): Buffer =>
  frame(3, id, JSON.stringify([code, message]));
export const windowFrame = (id: number, bytes: number): Buffer => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame(4, id, payload);
};

/** A frame that was sent, as far as tests look at it. */
export type Seen =
  | { kind: "head"; id: number; head: Head; end: boolean }
  | { kind: "data"; id: number; bytes: number; text: string; end: boolean }
  | { kind: "reset"; id: number; code: string; message: string }
  | { kind: "window"; id: number; bytes: number }
  | { kind: "goaway" }
  | { kind: "ping" | "pong"; payload: Buffer };

/** The frames of a message. */
export function framesOf(message: Uint8Array | string): Seen[] {
  const seen: Seen[] = [];
  if (typeof message === "string") return seen;
  decodeFrames(message, {
    onHead: (id, head, end) => seen.push({ kind: "head", id, head, end }),
    onData: (id, bytes, end) =>
      seen.push({ kind: "data", id, bytes: bytes.length, text: Buffer.from(bytes).toString("latin1"), end }),
    onReset: (id, code, message) => seen.push({ kind: "reset", id, code, message }),
    onWindow: (id, bytes) => seen.push({ kind: "window", id, bytes }),
    onGoaway: () => seen.push({ kind: "goaway" }),
    onPing: payload => seen.push({ kind: "ping", payload: Buffer.from(payload) }),
    onPong: payload => seen.push({ kind: "pong", payload: Buffer.from(payload) }),
  });
  return seen;
}

/** A JSON message, as far as tests look at it. */
export interface Message {
  type?: string;
  request_id?: string;
  data?: string;
  [field: string]: unknown;
}

/** A link whose peer is the test: what it sends is kept, what it gets is written by hand. */
export class Lone implements Socket {
  readonly clock = new TestClock();
  readonly link: Link;
  readonly streams: Stream[] = [];
  readonly control: object[] = [];
  readonly closed: Closed[] = [];
  readonly sent: (Uint8Array | string)[] = [];
  farewell: Closed | undefined;
  terminated = false;
  pings = 0;
  goaways = 0;
  /** What `buffered` answers; when `keeping`, everything sent stays in it. */
  waiting = 0;
  keeping = false;
  /** False drops every message. */
  open = true;
  readonly #jobs: (() => void)[] = [];

  constructor(
    side: "broker" | "agent",
    version: 1 | 2 = 2,
    events: LinkEvents = {},
    kind: "worker" | "mcp" = "worker",
  ) {
    this.link = new Link({
      socket: this,
      clock: this.clock,
      side,
      wire: wireOf(version, kind),
      defer: run => this.#jobs.push(run),
      events: {
        onControl: message => this.control.push(message),
        onGoaway: () => this.goaways++,
        onClosed: (code, reason) => this.closed.push({ code, reason }),
        ...(side === "agent" && { onStream: stream => this.streams.push(stream) }),
        ...events,
      },
    });
    this.run();
    this.sent.length = 0;
  }

  /** Runs what the link has put off. */
  run(): void {
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) job();
  }

  receive(...frames: Buffer[]): void {
    this.link.receive(Buffer.concat(frames));
    this.run();
  }

  text(...messages: string[]): void {
    for (const message of messages) this.link.receive(message);
    this.run();
  }

  /** The frames sent since the last call. */
  frames(): Seen[] {
    this.run();
    return this.sent.splice(0).flatMap(framesOf);
  }

  /** The JSON messages sent since the last call. */
  messages(): Message[] {
    return this.texts().map(text => JSON.parse(text));
  }

  /** The text messages sent since the last call, as they are. */
  texts(): string[] {
    this.run();
    return this.sent.splice(0).map(message => {
      if (typeof message !== "string") throw new Error("a binary message");
      return message;
    });
  }

  send(message: Uint8Array | string): boolean {
    if (!this.open) return false;
    this.sent.push(typeof message === "string" ? message : new Uint8Array(message));
    if (this.keeping) this.waiting += message.length;
    return true;
  }

  buffered(): number {
    return this.waiting;
  }

  close(code: number, reason: string): void {
    this.farewell = { code, reason };
  }

  terminate(): void {
    this.terminated = true;
  }

  ping(): void {
    this.pings++;
  }
}
