// One WebSocket that follows what a worker keeps: asks, sends what has changed, and closes at the end.
import type { Clock, Timer } from "../../../lib/time.ts";
import type { Watch } from "../../../modules/module.ts";
import type { Access } from "../../../modules/route.ts";
import { CLOSE_NORMAL, CLOSE_POLICY, CLOSE_RESTART } from "../../../protocol/limits.ts";
import type { ServerSocket, SocketHandler } from "../../http/web-socket.ts";
import type { Poll, Polled } from "./poll.ts";

/** Interval between two polls for one WebSocket, in milliseconds. */
export const WATCH_POLL_MS = 1_500;
/** Number of unanswered pings, one per poll, after which such a WebSocket is closed. */
export const WATCH_PINGS_MAX = 40;
/** Maximum message from the client of such a WebSocket, in bytes. Messages are ignored; a larger one closes it. */
export const WATCH_MESSAGE_BYTES = 4_096;
/** Maximum unsent data of such a WebSocket, in bytes. */
const WATCH_UNSENT_BYTES = 1_048_576;
/** WebSocket close code: a message was too large. */
const CLOSE_TOO_LARGE = 1009;
/** WebSocket close code: the worker or its backend failed. */
const CLOSE_FAILED = 1011;

export interface WatchSocketOptions {
  readonly watch: Watch;
  readonly poll: Poll;
  /** The response to the first query. */
  readonly first: Extract<Polled, { answer: unknown }>;
  readonly clock: Clock;
  /** Of the request that became the WebSocket. */
  readonly access: Access;
  /** Ends that request. */
  readonly ended: () => void;
  /** Runs once at the very end. */
  readonly onEnd: () => void;
}

export class WatchSocket implements SocketHandler {
  #socket: ServerSocket | undefined;
  /** Pings since the client's last message. */
  #pings = 0;
  #timer: Timer | undefined;
  #over = false;

  constructor(private readonly options: WatchSocketOptions) {}

  onOpen(socket: ServerSocket): void {
    this.#socket = socket;
    // Only a module's own mistake comes here.
    void this.#follow().catch(() => this.#close(CLOSE_FAILED, "internal"));
  }

  onMessage(message: Uint8Array | string): void {
    this.#pings = 0;
    if (message.length > WATCH_MESSAGE_BYTES) this.#close(CLOSE_TOO_LARGE, "the message is too large");
  }

  onDrain(): void {}

  onPong(): void {
    this.#pings = 0;
  }

  onClose(): void {
    this.#end();
  }

  /** Its key no longer allows it. */
  cut(): void {
    this.#close(CLOSE_POLICY, "unauthorized");
  }

  /** The broker is going away. */
  restart(): void {
    this.#close(CLOSE_RESTART, "the broker is shutting down");
  }

  async #follow(): Promise<void> {
    const { watch, poll, first } = this.options;
    let { text } = first;
    for (const message of first.messages) this.#send(message);
    if (watch.isOver(first.answer)) return this.#close(CLOSE_NORMAL, "");
    while (!this.#over) {
      await this.#pause();
      if (this.#over) return;
      if (this.#pings++ >= WATCH_PINGS_MAX) return this.#drop();
      this.#socket?.ping();
      const next = await poll.ask(answer => [watch.update(answer)]);
      if (this.#over) return;
      if ("response" in next) {
        void next.response.body?.cancel().catch(() => {});
        // Others ask this worker just now.
        if (next.access.error?.code === "worker_busy") continue;
        return this.#fail(next);
      }
      this.options.access.workerId = next.workerId;
      if (next.text !== text) for (const message of next.messages) this.#send(message);
      text = next.text;
      if (watch.isOver(next.answer)) this.#close(CLOSE_NORMAL, "");
    }
  }

  #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.options.clock.after(WATCH_POLL_MS, resolve);
    this.#timer = {
      cancel: () => {
        timer.cancel();
        resolve();
      },
    };
    return promise;
  }

  #fail({ response, access }: Extract<Polled, { response: Response }>): void {
    const { error } = access;
    if (error?.code === "draining") return this.restart();
    const message = error?.message ?? `the backend responded with status ${response.status}`;
    this.#send(this.options.watch.failure(message, response.status));
    this.#close(CLOSE_FAILED, error?.code ?? "upstream_error");
  }

  #send(message: string): void {
    const socket = this.#socket;
    if (socket === undefined || this.#over) return;
    // 0 means dropped, with the socket left open.
    if (socket.getBufferedAmount() > WATCH_UNSENT_BYTES || socket.sendText(message) === 0) this.#drop();
  }

  #drop(): void {
    this.#socket?.terminate();
    this.#end();
  }

  #close(code: number, reason: string): void {
    if (this.#over) return;
    this.#socket?.close(code, reason);
    this.#end();
  }

  /** No more questions; the one that is under way is given up. */
  #end(): void {
    if (this.#over) return;
    this.#over = true;
    const { poll, access, ended, onEnd } = this.options;
    this.#timer?.cancel();
    poll.stop();
    access.status = 101;
    ended();
    onEnd();
  }
}
