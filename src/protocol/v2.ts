import { asBuffer } from "../lib/bytes.ts";
import { NfrxError } from "../lib/errors.ts";
import { decodeFrames, FrameBatch, type FrameSink, type Head, Kind } from "./frames.ts";
import {
  BATCH_BYTES,
  DATA_MAX,
  DATA_SHARED,
  DEAD_MS,
  FIRST_PINGS,
  LINK_WINDOW,
  LINK_WINDOW_STEP,
  PING_MS,
  REGISTER_BYTES,
  STREAM_WINDOW,
} from "./limits.ts";
import type { Link } from "./link.ts";
import type { Stream } from "./stream.ts";
import { parseControl, type Wire } from "./wire.ts";

/** Wire v2: binary frames with credit. See README.md. */
export class WireV2 implements Wire, FrameSink {
  readonly version = 2;
  readonly deadMs: number;
  readonly #pingMs: number;
  readonly bufferLimit = Number.POSITIVE_INFINITY;
  readonly initialCredit = STREAM_WINDOW;

  /** Resets, credit and signals leave before any body. */
  readonly #control = new FrameBatch();
  readonly #batch = new FrameBatch();
  /** DATA bytes the connection may still send. */
  #credit = LINK_WINDOW;
  /** DATA bytes that arrived since the connection's window was last given back. */
  #arrived = 0;
  #pingAt: number;
  #pongs = 0;

  constructor(private readonly link: Link) {
    this.deadMs = link.liveness?.deadMs ?? DEAD_MS;
    this.#pingMs = link.liveness?.pingMs ?? PING_MS;
    this.#pingAt = link.clock.now();
    this.#sendPing(this.#pingAt);
  }

  turn(stream: Stream, shared: boolean): boolean {
    const { out, id } = stream;
    if (out.head !== undefined) {
      const empty = out.ended && out.bytes === 0;
      try {
        this.#batch.putHead(id, out.head, empty);
      } catch (error) {
        stream.reset(error instanceof NfrxError ? error : new NfrxError("internal", "cannot encode a head"));
        return true;
      }
      out.head = undefined;
      if (empty) out.sent = true;
    }
    if (out.bytes > 0) {
      const bytes = out.next(Math.min(shared ? DATA_SHARED : DATA_MAX, out.credit, this.#credit));
      if (bytes.length > 0) {
        out.credit -= bytes.length;
        this.#credit -= bytes.length;
        const last = out.ended && out.bytes === 0;
        this.#batch.putData(id, bytes, last);
        if (last) out.sent = true;
      }
    } else if (out.ended && !out.sent) {
      this.#batch.putData(id, NOTHING, true);
      out.sent = true;
    }
    if (this.#batch.length >= BATCH_BYTES) this.flush();
    return this.#credit > 0;
  }

  flush(): void {
    if (this.#control.length > 0) {
      this.link.transmit(this.#control.take());
      this.link.checkUnread();
    }
    if (this.#batch.length > 0) this.link.transmit(this.#batch.take());
  }

  reset(stream: Stream, error: NfrxError): void {
    // A request whose head was never sent needs no reset.
    if (stream.out.head !== undefined && !stream.headArrived) return;
    // A reset after our last byte must not overtake it.
    const batch = stream.out.sent ? this.#batch : this.#control;
    batch.putReset(stream.id, error.code, error.message);
  }

  consumed(stream: Stream, bytes: number): void {
    const credit = stream.window.read(bytes, this.link.clock.now(), this.link.roundTripMs, this.link.grow);
    if (credit === 0 || stream.arrived) return;
    this.#control.putWindow(stream.id, credit);
    this.link.unblock();
  }

  forget(): void {}

  goaway(): void {
    this.#control.putSignal(Kind.GOAWAY);
  }

  beat(now: number): void {
    if (now - this.#pingAt >= this.#pingMs) this.#sendPing(now);
  }

  receive(message: Uint8Array | string): void {
    if (typeof message === "string") this.link.dispatchControl(parseControl(message, REGISTER_BYTES), message.length);
    else decodeFrames(message, this);
  }

  onHead(id: number, head: Head, end: boolean): void {
    const stream = this.link.stream(id);
    if (stream !== undefined) {
      if ("method" in head || stream.headArrived) throw new NfrxError("protocol", `a second head on stream ${id}`);
      if (!Number.isInteger(head.status) || head.status < 200 || head.status > 599) {
        stream.reset(new NfrxError("upstream_error", `the worker sent the invalid status ${head.status}`));
        return;
      }
      stream.deliverHead(head, end);
    } else if ("method" in head) {
      this.link.accept(id, head, end);
    } else if (!this.link.wasOpen(id)) {
      throw new NfrxError("protocol", `a response on stream ${id}, which was never opened`);
    }
  }

  onData(id: number, bytes: Uint8Array, end: boolean, keeps: number): void {
    this.#arrived += bytes.length;
    if (this.#arrived >= LINK_WINDOW_STEP) {
      this.#control.putWindow(0, this.#arrived);
      this.#arrived = 0;
      this.link.unblock();
    }
    const stream = this.link.stream(id);
    if (stream === undefined) {
      if (!this.link.wasOpen(id)) throw new NfrxError("protocol", `data on stream ${id}, which was never opened`);
      return; // it was reset here while these bytes were on their way
    }
    if (!stream.headArrived || stream.arrived) throw new NfrxError("protocol", `unexpected data on stream ${id}`);
    if (!stream.window.arrive(bytes.length)) throw new NfrxError("protocol", `flow control violation on stream ${id}`);
    stream.deliverData(bytes, end, keeps);
  }

  onReset(id: number, code: string, message: string): void {
    const stream = this.link.stream(id);
    if (stream !== undefined) this.link.peerReset(stream, code, message);
    else if (!this.link.wasOpen(id)) throw new NfrxError("protocol", `a reset of stream ${id}, which was never opened`);
  }

  onWindow(id: number, bytes: number): void {
    if (id === 0) {
      this.#credit = Math.min(this.#credit + bytes, LINK_WINDOW);
      this.link.unblock();
      return;
    }
    const stream = this.link.stream(id);
    if (stream === undefined) {
      if (!this.link.wasOpen(id)) throw new NfrxError("protocol", `credit for stream ${id}, which was never opened`);
      return;
    }
    stream.out.credit = Math.min(stream.out.credit + bytes, Number.MAX_SAFE_INTEGER);
    this.link.unblock(stream);
  }

  onGoaway(): void {
    this.link.peerLeaves();
  }

  onPing(payload: Uint8Array): void {
    this.#control.putSignal(Kind.PONG, payload);
    this.link.unblock();
  }

  onPong(payload: Uint8Array): void {
    if (payload.length !== 8) return;
    const sent = asBuffer(payload).readDoubleBE(0);
    const took = this.link.clock.now() - sent;
    if (!(took >= 0)) return; // not a time of ours, or no number at all
    // The way itself, not the queues on it: a busy connection must not look long, or windows would grow for nothing.
    const known = this.link.roundTripMs;
    this.link.roundTripMs = known === 0 ? took : Math.min(took, known * RTT_RISE);
    // The first round trips include cold code; the shortest of several is accurate.
    if (++this.#pongs < FIRST_PINGS) this.#sendPing(this.link.clock.now());
  }

  #sendPing(now: number): void {
    this.#pingAt = now;
    const payload = Buffer.alloc(8);
    payload.writeDoubleBE(now, 0);
    this.#control.putSignal(Kind.PING, payload);
    this.link.unblock();
  }
}

const NOTHING = new Uint8Array(0);
/** Maximum increase of the round trip per slower answer, for a path that has become longer. */
const RTT_RISE = 1.25;
