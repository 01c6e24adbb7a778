import { NfrxError } from "../../lib/errors.ts";
import type { Clock } from "../../lib/time.ts";
import { every, type Timer } from "../../lib/time.ts";
import type { Access } from "../../modules/route.ts";

/** Milliseconds between two states of the stream. */
export const STATE_INTERVAL_MS = 2_000;
/** Listeners of the state stream at once. */
export const STATE_LISTENERS_MAX = 1_000;
/** Events that may wait for a listener that does not read; it then misses some, the next one tells all anyway. */
const UNREAD_MAX = 4;

interface Listener {
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  readonly access: Access;
}

/** The state as server-sent events: one at once, then every two seconds, computed once for all listeners. */
export class StateStream {
  readonly #listeners = new Set<Listener>();
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
  async open(access: Access): Promise<Response> {
    const first = event(await this.read());
    if (this.#listeners.size >= STATE_LISTENERS_MAX) {
      return new Response("too many listeners", { status: 503, headers: { "retry-after": "10" } });
    }
    access.keep();
    let mine: Listener | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: controller => {
        mine = { controller, access };
        this.#listeners.add(mine);
        put(mine, first);
        this.#timer ??= every(this.clock, STATE_INTERVAL_MS, () => void this.#tell().catch(this.onError));
      },
      cancel: () => {
        if (mine !== undefined) this.#listeners.delete(mine);
        access.end(new NfrxError("canceled", "the client went away"));
        if (this.#listeners.size === 0) this.close();
      },
    });
    return new Response(body, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-cache", "x-request-id": access.id },
    });
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #tell(): Promise<void> {
    const bytes = event(await this.read());
    for (const listener of this.#listeners) {
      if ((listener.controller.desiredSize ?? 0) > -UNREAD_MAX) put(listener, bytes);
    }
  }
}

function put({ controller, access }: Listener, bytes: Uint8Array): void {
  access.bytesOut += bytes.length;
  controller.enqueue(bytes);
}

function event(state: object): Uint8Array {
  return Buffer.from(`data: ${JSON.stringify(state)}\n\n`);
}
