import { cutText } from "../lib/bytes.ts";
import { type ErrorCode, isErrorCode, messageOf, NfrxError } from "../lib/errors.ts";
import type { Clock } from "../lib/time.ts";
import type { RequestHead } from "./frames.ts";
import {
  CLOSE_PROTOCOL,
  CLOSE_RESTART,
  ERROR_TEXT_BYTES,
  SOCKET_HIGH_WATER,
  STREAM_ID_MAX,
  STREAM_WINDOW,
  STREAMS_MAX,
  UNREAD_MAX,
  UNROUTABLE_MS,
  V1_REQUEST_BODY,
  WINDOW_GROWTH,
} from "./limits.ts";
import type { ControlMessage } from "./messages.ts";
import { PeerLiveness } from "./peer-liveness.ts";
import { Stream, type StreamPort } from "./stream.ts";
import { type LinkEvents, LinkStats, type Liveness, type Socket, type Wire } from "./wire.ts";

export interface LinkOptions {
  socket: Socket;
  clock: Clock;
  /** Which half of the stream ids this end hands out. */
  side: "broker" | "agent";
  wire: (link: Link) => Wire;
  events: LinkEvents;
  /** How often to ask whether the peer lives, and after how long a silence it does not; the wire's own unless given. */
  liveness?: Liveness | undefined;
  /** Runs its argument after the other work of this turn of the event loop. */
  defer?: (run: () => void) => void;
}

/**
 * One connection with many streams. Streams with data to send take turns; a turn of the event loop produces one
 * message. The socket's owner calls `receive`, `drained` and `lost`.
 */
export class Link implements StreamPort {
  readonly stats = new LinkStats();
  readonly clock: Clock;
  readonly side: "broker" | "agent";
  readonly wire: Wire;
  readonly liveness: Liveness | undefined;

  /** The time of the way to the peer and back, as the wire has learned it; 0 before it has. */
  roundTripMs = 0;

  readonly #socket: Socket;
  readonly #events: LinkEvents;
  readonly #defer: (run: () => void) => void;
  readonly #streams = new Map<number, Stream>();
  readonly #ready = new Set<Stream>();
  /** Streams with unread views into messages of this turn. */
  readonly #borrowers: Stream[] = [];
  readonly #peer: PeerLiveness;
  #nextId: number;
  #highestPeerId = 0;
  #pumping = false;
  #growth = 0;
  /** Every stream id has been used: the connection accepts no new streams and closes with its last one. */
  #spent = false;
  #peerLeaving = false;
  #leaving = false;
  #closed = false;

  constructor(options: LinkOptions) {
    this.clock = options.clock;
    this.side = options.side;
    this.liveness = options.liveness;
    this.#socket = options.socket;
    this.#events = options.events;
    this.#defer = options.defer ?? setImmediate;
    this.#nextId = options.side === "broker" ? 1 : 2;
    this.wire = options.wire(this);
    this.#peer = new PeerLiveness({
      clock: this.clock,
      ping: () => this.ping(),
      pingMs: this.liveness?.pingMs,
      deadMs: this.wire.deadMs,
      onMessage: () => this.#events.onMessage?.(),
      onBeat: now => this.wire.beat(now),
      onDead: () => {
        this.#socket.terminate();
        this.lost(1006, "no data for too long");
      },
    });
  }

  // ---- the application's side -------------------------------------------------------------------------------------

  get version(): 1 | 2 {
    return this.wire.version;
  }

  /** A request body may follow its head piece by piece, its length unknown; otherwise the peer gets it whole. */
  get canStreamUnknownLength(): boolean {
    return this.wire.version !== 1;
  }

  /** The longest request body that the peer takes, in bytes. */
  get maxBody(): number {
    return this.wire.version === 1 ? V1_REQUEST_BODY : Number.POSITIVE_INFINITY;
  }

  get streams(): number {
    return this.#streams.size;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** False when the peer has been no data for too long, is leaving, or is gone: give it nothing new. */
  get routable(): boolean {
    return (
      !this.#closed &&
      !this.#spent &&
      !this.#peerLeaving &&
      this.#peer.silentMs < Math.min(UNROUTABLE_MS, this.wire.deadMs)
    );
  }

  /** Opens a stream and sends its request head. Throws `refused` when the peer takes no more. */
  open(head: RequestHead, end = false): Stream {
    if (this.#closed || this.#peerLeaving || this.#spent) {
      throw new NfrxError("refused", "the connection accepts no new streams");
    }
    if (this.#streams.size >= STREAMS_MAX)
      throw new NfrxError("refused", `more than ${STREAMS_MAX} streams on one connection`);
    const stream = this.#add(this.#nextId);
    this.#nextId += 2;
    if (this.#nextId > STREAM_ID_MAX) this.#spent = true;
    stream.sendHead(head, end);
    return stream;
  }

  control(message: ControlMessage): void {
    if (this.wire.control === undefined) this.transmit(JSON.stringify(message));
    else this.wire.control(message);
  }

  /** Tells the peer to open no new streams here; running ones continue. */
  goaway(): void {
    if (this.#leaving || this.#closed) return;
    this.#leaving = true;
    this.wire.goaway();
    this.#schedule();
  }

  get leaving(): boolean {
    return this.#leaving;
  }

  /** Ends the connection; streams still open fail with `link_lost`. */
  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#pump();
    this.drop(code, reason);
  }

  /** Closes the connection without sending queued data. */
  drop(code: number, reason: string): void {
    if (this.#closed) return;
    this.#socket.close(code, reason);
    this.lost(code, reason);
  }

  /** Pings the peer: resolves to true if it answers within `ms`, to false if it does not or the link has ended. */
  answers(ms: number): Promise<boolean> {
    return this.#closed ? Promise.resolve(false) : this.#peer.answers(ms);
  }

  // ---- the socket owner's side ------------------------------------------------------------------------------------

  receive(message: Uint8Array | string): void {
    if (this.#closed) return;
    this.#peer.sawMessage();
    this.stats.messagesIn++;
    this.stats.bytesIn += message.length;
    try {
      this.wire.receive(message);
    } catch (error) {
      // A close frame has room for 123 bytes of reason.
      this.close(CLOSE_PROTOCOL, Buffer.from(messageOf(error)).subarray(0, 120).toString());
    }
  }

  /** The socket's buffer has room again. */
  drained(): void {
    this.#schedule();
  }

  /** A WebSocket pong came: the peer has read everything sent before its ping. */
  ponged(): void {
    this.#peer.ponged();
    this.#schedule();
  }

  /** The connection is gone. */
  lost(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    const error = new NfrxError("link_lost", `connection lost (${code}${reason === "" ? "" : ` ${reason}`})`);
    for (const stream of [...this.#streams.values()]) stream.fail(error);
    this.#streams.clear();
    this.#ready.clear();
    this.#peer.close();
    this.#events.onClosed?.(code, reason);
  }

  // ---- the streams' side ------------------------------------------------------------------------------------------

  ready(stream: Stream): void {
    if (this.#closed) return;
    if (stream.out.sendable) {
      this.#ready.add(stream);
      this.#schedule();
    } else if (stream.out.bytes > 0) {
      this.stats.windowStalls++;
    }
  }

  consumed(stream: Stream, bytes: number): void {
    if (!this.#closed && !stream.closed) this.wire.consumed(stream, bytes);
  }

  abandon(stream: Stream, error: NfrxError): void {
    this.stats.resets++;
    if (!this.#closed) {
      this.wire.reset(stream, error);
      this.#schedule();
    }
    this.#forget(stream);
  }

  borrowed(stream: Stream): void {
    this.#borrowers.push(stream);
    this.#schedule();
  }

  finished(stream: Stream): void {
    this.#forget(stream);
  }

  // ---- the wire's side --------------------------------------------------------------------------------------------

  stream(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  /** Bytes by which all windows together have grown. */
  get growth(): number {
    return this.#growth;
  }

  /** True when the peer may still mention this id: it belongs to a stream that has been open. */
  wasOpen(id: number): boolean {
    const ours = id % 2 === this.#nextId % 2;
    return id !== 0 && (ours ? id < this.#nextId : id <= this.#highestPeerId);
  }

  /** Takes a stream that the peer opened, or refuses it. `prepare` runs first, for a wire that keeps notes on its streams. */
  accept(id: number, head: RequestHead, end: boolean, prepare?: (stream: Stream) => void): void {
    if (this.#closed) return; // while the frames before it, in the same message, were handled
    if (id % 2 === this.#nextId % 2 || id <= this.#highestPeerId)
      throw new NfrxError("protocol", `stream id ${id} is out of order`);
    this.#highestPeerId = id;
    const stream = this.#add(id);
    prepare?.(stream);
    const onStream = this.#events.onStream;
    if (onStream === undefined || this.#leaving || this.#streams.size > STREAMS_MAX) {
      stream.reset(new NfrxError("refused", this.#leaving ? "draining" : "this end accepts no streams"));
      return;
    }
    stream.deliverHead(head, end);
    onStream(stream, head);
  }

  /** The peer gave a stream up. */
  peerReset(stream: Stream, code: string, message: string): void {
    this.#forget(stream);
    const text = cutText(message || code, ERROR_TEXT_BYTES);
    stream.fail(new NfrxError(this.#trusted(code), text));
  }

  /**
   * Maps a peer's error code: an agent can report errors of itself and its backend, not of the broker or the client.
   */
  #trusted(code: string): ErrorCode {
    if (this.side === "agent") return isErrorCode(code) ? code : "canceled";
    if (code === "draining") return "refused";
    return code === "refused" || code === "timeout" || code === "too_large" ? code : "upstream_error";
  }

  /** Hands a control message on; `bytes` is the length of its text. */
  dispatchControl(message: { type?: unknown }, bytes: number): void {
    this.#events.onControl?.(message, bytes);
  }

  peerLeaves(): void {
    if (this.#peerLeaving) return;
    this.#peerLeaving = true;
    this.#events.onGoaway?.();
  }

  /** Wakes the pump: a stream got credit, or the connection did. */
  unblock(stream?: Stream): void {
    if (stream?.out.sendable) this.#ready.add(stream);
    this.#schedule();
  }

  transmit(message: Uint8Array | string): void {
    if (this.#closed) return;
    this.stats.messagesOut++;
    this.stats.bytesOut += message.length;
    if (!this.#socket.send(message)) {
      this.#socket.terminate();
      this.lost(1006, "the socket dropped a message");
    }
  }

  /** Sends a WebSocket ping. */
  ping(): void {
    this.#socket.ping();
  }

  /** Closes the connection if the peer causes more replies than it reads. */
  checkUnread(): void {
    if (this.#closed || this.#socket.buffered() <= UNREAD_MAX) return;
    this.lost(1006, "the peer stopped reading");
    this.#socket.terminate();
  }

  /** Grants window growth out of the link's budget. */
  readonly grow = (by: number): number => {
    const granted = Math.max(0, Math.min(by, WINDOW_GROWTH - this.#growth));
    this.#growth += granted;
    return granted;
  };

  // ---- inside -----------------------------------------------------------------------------------------------------

  #add(id: number): Stream {
    const stream = new Stream(id, this, STREAM_WINDOW, this.wire.bufferLimit);
    stream.out.credit = this.wire.initialCredit;
    this.#streams.set(id, stream);
    return stream;
  }

  #forget(stream: Stream): void {
    if (!this.#streams.delete(stream.id)) return;
    this.#ready.delete(stream);
    this.#growth -= stream.window.size - STREAM_WINDOW;
    this.wire.forget(stream);
    if (this.#spent && this.#streams.size === 0) this.#defer(() => this.close(CLOSE_RESTART, "no stream ids left"));
  }

  #schedule(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#defer(this.#pump);
  }

  readonly #pump = (): void => {
    this.#pumping = false;
    for (const stream of this.#borrowers) stream.ownBytes();
    this.#borrowers.length = 0;
    if (this.#closed) return;
    while (this.#ready.size > 0) {
      if (this.#socket.buffered() > SOCKET_HIGH_WATER) {
        // The owner calls `drained` if the platform reports it; the answer to a ping works everywhere.
        this.stats.socketStalls++;
        this.#peer.requestPong();
        break;
      }
      const stream = this.#ready.values().next().value;
      if (stream === undefined) break;
      this.#ready.delete(stream);
      const open = this.wire.turn(stream, this.#ready.size > 0);
      if (stream.out.sendable) this.#ready.add(stream);
      else if (stream.out.bytes > 0) this.stats.windowStalls++;
      stream.settle();
      stream.out.drained();
      if (!open) {
        this.stats.socketStalls++;
        break;
      }
    }
    this.wire.flush();
  };
}
