import { BoundedMap } from "../../lib/bounded-map.ts";
import type { Drain } from "../../lib/drain.ts";
import { messageOf, NfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import type { RouteCall } from "../../modules/route.ts";
import { Shares, shareOf } from "../http/access/shares.ts";
import { refuseUpload } from "../http/body/refuse.ts";
import { countRefusal } from "../http/count-refusal.ts";
import { errorResponse } from "../http/error-response.ts";
import { type End, TransferChannel, type TransferChannelOptions, type TransferEnd } from "./channel.ts";
import {
  TRANSFER_ENDED_MAX,
  TRANSFER_ENDED_MS,
  TRANSFER_JOBS_RESERVE,
  TRANSFER_PROGRESS_MS,
  type TransferLimits,
} from "./limits.ts";
import type { TransferMetrics } from "./metrics.ts";
import { failureFor, type Pipe, type PipeOptions, reasonFor } from "./pipe.ts";

export type { End, TransferChannelOptions, TransferEnd } from "./channel.ts";

export interface TransfersOptions {
  clock: Clock;
  log: Logger;
  metrics: TransferMetrics;
  drain: Drain;
  limits: TransferLimits;
}

/** The methods of a channel. */
export const CHANNEL_METHODS = "GET, POST, PUT";

/**
 * One-shot channels in which the bytes of one request become the answer to another. Whoever comes first waits; nothing is
 * kept of what passes.
 */
export class Transfers {
  readonly #options: TransfersOptions;
  readonly #channels = new Map<string, TransferChannel>();
  /** How each channel ended, for some time. */
  readonly #ended: BoundedMap<TransferEnd>;
  /** Channels that callers opened, and those of jobs. */
  readonly #shares: { readonly callers: Shares; readonly jobs: Shares };
  #running = 0;

  constructor(options: TransfersOptions) {
    this.#options = options;
    this.#ended = new BoundedMap(TRANSFER_ENDED_MAX, { clock: options.clock, ms: TRANSFER_ENDED_MS });
    const { channels } = options.limits;
    const own = Math.max(1, channels - Math.floor(channels * TRANSFER_JOBS_RESERVE));
    const [what, share] = ["open transfer channels", shareOf(channels)];
    this.#shares = { callers: new Shares(own, what, share), jobs: new Shares(channels, what, share) };
    options.metrics.watch(this);
  }

  /** Channels whose ends have not met. */
  get waiting(): number {
    return this.#channels.size - this.#running;
  }

  /** Channels through which bytes pass. */
  get running(): number {
    return this.#running;
  }

  /** Opens a channel; `expiresAt` is in milliseconds since 1970. Throws `overloaded` when there are too many, `limit_exceeded` when the caller has its share. */
  create(options: TransferChannelOptions = {}): { id: string; expiresAt: number } {
    const { clock, limits } = this.#options;
    if (this.#channels.size >= limits.channels)
      throw new NfrxError("overloaded", "too many open transfer channels", { retryAfterSeconds: 5 });
    const { ttlMs = limits.ttlMs, caller, forJob } = options;
    const release = caller === undefined ? undefined : this.#shares[forJob ? "jobs" : "callers"].take(caller);
    const channel = new TransferChannel(options, clock.wall() + ttlMs, clock.now());
    if (release !== undefined) channel.release = release;
    this.#channels.set(channel.id, channel);
    channel.timer = clock.after(ttlMs, () => this.#giveUp(channel, "expired"), true);
    return { id: channel.id, expiresAt: channel.expiresAt };
  }

  /** Ends a channel and its transfer. */
  close(id: string): void {
    const channel = this.#channels.get(id);
    if (channel?.pipe !== undefined) channel.pipe.close();
    else if (channel !== undefined) this.#giveUp(channel, "closed");
  }

  /** True while this end of an open channel has not come. */
  awaits(id: string, end: End): boolean {
    const channel = this.#channels.get(id);
    return channel !== undefined && !channel.has(end);
  }

  /** The same for the end that the channel's maker named as its client's. */
  awaitsClient(id: string): boolean {
    const client = this.#channels.get(id)?.options.client;
    return client !== undefined && this.awaits(id, client);
  }

  /** Closes all of them. */
  stop(): void {
    for (const id of [...this.#channels.keys()]) this.close(id);
  }

  /** `POST /api/transfer` */
  open({ principal }: RouteCall): Response {
    const { id, expiresAt } = this.create({ caller: principal.caller });
    return Response.json({ channel_id: id, expires_at: new Date(expiresAt).toISOString() });
  }

  /** `GET /api/transfer/{id}`: the writer's bytes, when there is one. */
  async read(call: RouteCall): Promise<Response> {
    const { request, access } = call;
    // Elysia asks here for HEAD, too; to look must not take the only reader's place.
    if (request.method !== "GET") return this.refuse(request, CHANNEL_METHODS);
    const pipe = await this.#arrive(call, "reader");
    const response = await pipe.response();
    response.headers.set("x-request-id", access.id);
    access.status = response.status;
    const ended = access.streams();
    void pipe.ended.then(end => {
      access.bytesOut = pipe.bytes;
      ended(failureFor("reader", end));
    });
    return response;
  }

  /** `POST` or `PUT /api/transfer/{id}`: takes bytes for the reader, when there is one; answers when the last have left for it. */
  async write(call: RouteCall): Promise<Response> {
    const { request, access } = call;
    const pipe = await this.#arrive(call, "writer");
    const end = await pipe.ended;
    access.bytesIn = pipe.bytes;
    if (end === "done") return Response.json({ status: "ok" });
    // The pipe has read from the body, so the rest of it is not the mount's to read.
    const reason = reasonFor(end);
    const response = errorResponse(reason, "word", access.id);
    this.countRefusal(reason);
    access.answered(response);
    access.streams()(failureFor("writer", end));
    return refuseUpload(response, request, this.#options.clock, pipe.source);
  }

  /** Throws for a method that touches no channel; `allow` names those that do. */
  refuse({ method }: Request, allow: string): never {
    throw new NfrxError("method_not_allowed", `method ${method} is not allowed for transfers`, { allow });
  }

  /** Counts a request that failed; what a channel came to is counted where it ends. */
  countRefusal(error: NfrxError): void {
    if (error.code !== "canceled" && error.code !== "transfer_failed") countRefusal(this.#options.metrics, error);
  }

  async #arrive({ request, server, params, access }: RouteCall, end: End): Promise<Pipe> {
    const channel = this.#find(params["id"] ?? "");
    access.onCut = () => this.close(channel.id);
    // Once an end is connected, a shutdown waits for the channel. An open channel was accepted: no other broker has it.
    if (channel.empty) channel.leave = this.#options.drain.join();
    server.timeout(request, 0);
    try {
      return await channel.arrive(end, request, () => this.#begin(channel));
    } finally {
      if (channel.empty) channel.leave();
    }
  }

  /** Throws what there is to say of a channel that is not open. */
  #find(id: string): TransferChannel {
    const channel = this.#channels.get(id);
    if (channel !== undefined) return channel;
    const end = this.#ended.get(id);
    if (end === undefined) throw new NfrxError("transfer_not_found", "transfer not found");
    if (end === "expired") throw expired();
    throw new NfrxError("transfer_closed", "the transfer has ended");
  }

  #begin(channel: TransferChannel): Omit<PipeOptions, End> {
    const { clock, limits, metrics } = this.#options;
    this.#running++;
    let reportedAt = clock.now();
    this.#tell(() => channel.options.onProgress?.(0));
    return {
      clock,
      idleMs: limits.idleMs,
      onBytes: count => {
        channel.bytes += count;
        metrics.bytes(count);
        const now = clock.now();
        if (now - reportedAt < TRANSFER_PROGRESS_MS) return;
        reportedAt = now;
        this.#tell(() => channel.options.onProgress?.(channel.bytes));
      },
      onEnd: end => {
        this.#running--;
        this.#over(channel, end);
      },
    };
  }

  /** Ends a channel whose ends have not met. */
  #giveUp(channel: TransferChannel, end: "expired" | "closed"): void {
    channel.giveUp(end === "expired" ? expired() : new NfrxError("transfer_closed", "the transfer was canceled"));
    this.#over(channel, end);
  }

  #over(channel: TransferChannel, outcome: TransferEnd): void {
    const { clock, log, metrics } = this.#options;
    const { id, bytes, createdAt, options } = channel;
    this.#channels.delete(id);
    this.#ended.set(id, outcome);
    channel.leave();
    channel.release();
    metrics.ended(outcome);
    const seconds = (clock.now() - createdAt) / 1000;
    const fields = { ...named(id), outcome, bytes, seconds };
    if (outcome === "done") log.info(fields, "transfer ended");
    else log.warn(fields, "transfer failed");
    this.#tell(() => options.onEnd?.(outcome, bytes));
  }

  /** Tells the maker of a channel; the transfer does not suffer for what it does with that. */
  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#options.metrics.unhandled();
      this.#options.log.error({ error: messageOf(error) }, "the creator of a transfer channel failed");
    }
  }
}

function expired(): NfrxError {
  return new NfrxError("transfer_expired", "the other end did not connect in time");
}

/** A channel as the log names it: who reads the log shall not be able to use it. */
function named(id: string): { channel: string } {
  return { channel: id.slice(0, 8) };
}
