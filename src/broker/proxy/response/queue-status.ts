// Output for a client while its request is queued: its position, and comments.
import { KEEP_ALIVE_MS, sseEvent } from "../../../lib/sse.ts";
import type { Timer } from "../../../lib/time.ts";
import type { EventStreamApi, QueueEvents } from "../../../modules/module.ts";
import type { Exchange } from "../exchange.ts";
import type { RespondContext } from "./pump.ts";
import { type Controller, isRead, put, QUIET } from "./pump.ts";

/** How one client learns its position. */
export type QueueNotice = Exclude<QueueEvents, "auto">;

/** The header by which a request chooses. */
const QUEUE_HEADER = "x-nfrx-queue";

/**
 * How a client learns its position. `off` is the operator's last word, otherwise a request may choose; without a choice
 * `auto` looks at the API and at the client.
 */
export function queueNotice(setting: QueueEvents, headers: Headers, api: EventStreamApi | undefined): QueueNotice {
  if (setting === "off") return "off";
  const asked = headers.get(QUEUE_HEADER)?.trim().toLowerCase();
  if (asked === "event" || asked === "comment" || asked === "off") return asked;
  if (setting !== "auto") return setting;
  return api?.closed || isStrict(headers) ? "comment" : "event";
}

/** `ai-sdk/openai-compatible/1.0.0` in the older releases of Vercel's SDK, `ai-sdk-openai-compatible/3.0.92` in the newer ones. */
const AI_SDK = /\bai-sdk[/-]/;

/** True for clients that take every event for a piece of the answer: the official SDKs and Vercel's AI SDK. */
function isStrict(headers: Headers): boolean {
  if (AI_SDK.test(headers.get("user-agent") ?? "")) return true;
  for (const name of headers.keys()) if (name.startsWith("x-stainless-")) return true;
  return false;
}

/** Writes a waiting client's position, and comments once it has left the queue. */
export class QueueStatusStream {
  #timer: Timer | undefined;
  #ended = false;

  constructor(
    private readonly exchange: Exchange,
    private readonly context: RespondContext,
    private readonly notice: () => QueueNotice,
  ) {}

  begin(controller: Controller): void {
    this.#write(controller);
  }

  end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #write(controller: Controller): void {
    if (this.#ended) return;
    const { queueUpdateMs, clock } = this.context;
    const position = queueUpdateMs > 0 ? this.exchange.queuePosition : 0;
    const notice = position > 0 ? this.notice() : "off";
    // A client that does not read gets no more of this; nothing is lost.
    if (isRead(controller)) put(controller, notice === "off" ? QUIET : this.#position(position, notice), this.exchange);
    const next = notice === "off" ? KEEP_ALIVE_MS : Math.min(queueUpdateMs, KEEP_ALIVE_MS);
    this.#timer = clock.after(next, () => this.#write(controller));
  }

  #position(position: number, notice: "event" | "comment"): Uint8Array {
    const { id, label } = this.exchange.request;
    const data = JSON.stringify({ type: "nfrx.queue", request_id: id, model: label.model, position });
    return Buffer.from(notice === "event" ? sseEvent(data, { event: "nfrx.queue" }) : `: nfrx.queue ${data}\n\n`);
  }
}
