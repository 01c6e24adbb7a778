import { formatDuration } from "../../config/duration.ts";
import { abortable } from "../../lib/abortable.ts";
import { messageOf, NfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import type { Provider, ProviderRequest } from "./provider.ts";

/** One way to reach the server. */
export interface Transport {
  name: string;
  /** Creates the provider; it is closed if it does not respond. */
  open: () => Provider;
}

/** Uses the first of several transports that responds; they are tried again when it no longer does. */
export class TransportFallback implements Provider {
  #chosen: { transport: Transport; provider: Provider } | undefined;
  /** The current attempt, shared by all requests. */
  #opening: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(
    private readonly transports: readonly Transport[],
    /** Time for each transport to start and respond, in milliseconds. */
    private readonly initMs: number,
    private readonly clock: Clock,
    private readonly log: Logger,
  ) {}

  get sessions(): number {
    return this.#chosen?.provider.sessions ?? 0;
  }

  fetch(request: ProviderRequest): Promise<Response> {
    return this.#provider().fetch(request);
  }

  metadata(signal: AbortSignal): Promise<Response> {
    const provider = this.#provider();
    if (provider.metadata === undefined) throw new NfrxError("not_found", "this provider has no metadata");
    return provider.metadata(signal);
  }

  /** Waits until the signal aborts; a start continues. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.#chosen !== undefined) return this.#ask(this.#chosen.provider, signal);
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    await abortable(this.#opening, signal);
  }

  async #open(): Promise<void> {
    const reasons: string[] = [];
    for (const transport of this.transports) {
      if (this.#stop.signal.aborted) break;
      const provider = transport.open();
      try {
        await this.#inTime(signal => provider.probe(signal));
        this.#stop.signal.throwIfAborted();
        this.#chosen = { transport, provider };
        this.log.info({ transport: transport.name }, "the provider responds");
        return;
      } catch (error) {
        reasons.push(`${transport.name}: ${messageOf(error)}`);
        await provider.close();
      }
    }
    throw new Error(reasons.join("; ") || "no transport of MCP_TRANSPORT_ORDER is configured");
  }

  async #inTime(ask: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const timeout = new AbortController();
    const reason = `it did not start within ${formatDuration(this.initMs)} (MCP_INIT_TIMEOUT)`;
    const timer = this.clock.after(this.initMs, () => timeout.abort(new NfrxError("timeout", reason)), true);
    try {
      await ask(AbortSignal.any([timeout.signal, this.#stop.signal]));
    } finally {
      timer.cancel();
    }
  }

  async #ask(provider: Provider, signal: AbortSignal): Promise<void> {
    try {
      await provider.probe(signal);
    } catch (error) {
      // A provider with sessions is not replaced after a bad response: it may recover with them.
      if (provider.sessions === 0 && !signal.aborted) {
        this.#chosen = undefined;
        await provider.close();
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new NfrxError("draining", "the agent is stopping"));
    await this.#opening?.catch(() => {});
    await this.#chosen?.provider.close();
  }

  #provider(): Provider {
    if (this.#chosen === undefined) throw new NfrxError("refused", "the provider has not started yet");
    return this.#chosen.provider;
  }
}
