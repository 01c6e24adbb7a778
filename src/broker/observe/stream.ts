import type { Clock } from "../../lib/time.ts";
import { every, type Timer } from "../../lib/time.ts";

/** Milliseconds between two states of the stream. */
export const STATE_INTERVAL_MS = 2_000;
/** Listeners of the state stream at once. */
export const STATE_LISTENERS_MAX = 1_000;
/** Events that may wait for a listener that does not read; it then misses some, the next one tells all anyway. */
const UNREAD_MAX = 4;

type Controller = ReadableStreamDefaultController<Uint8Array>;

/** The state as server-sent events: one at once, then every two seconds, computed once for all listeners. */
export class StateStream {
  readonly #listeners = new Set<Controller>();
  #timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly read: () => Promise<object>,
    private readonly onError: (error: unknown) => void,
  ) {}

  get listeners(): number {
    return this.#listeners.size;
  }

  /** A response that goes on until the client leaves. */
  async open(): Promise<Response> {
    const first = event(await this.read());
    if (this.#listeners.size >= STATE_LISTENERS_MAX) {
      return new Response("too many listeners", { status: 503, headers: { "retry-after": "10" } });
    }
    let mine: Controller | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: controller => {
        mine = controller;
        this.#listeners.add(controller);
        controller.enqueue(first);
        this.#timer ??= every(this.clock, STATE_INTERVAL_MS, () => void this.#tell().catch(this.onError));
      },
      cancel: () => {
        if (mine !== undefined) this.#listeners.delete(mine);
        if (this.#listeners.size === 0) this.close();
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #tell(): Promise<void> {
    const bytes = event(await this.read());
    for (const controller of this.#listeners) {
      if ((controller.desiredSize ?? 0) > -UNREAD_MAX) controller.enqueue(bytes);
    }
  }
}

function event(state: object): Uint8Array {
  return Buffer.from(`data: ${JSON.stringify(state)}\n\n`);
}
