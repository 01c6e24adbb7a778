import { messageOf, NfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Provider, ProviderRequest } from "./provider.ts";

/** Milliseconds to which the time that each way is given grows. */
const LONGEST_INIT_MS = 30_000;

/** One way to reach the server. */
export interface Way {
  name: string;
  /** Makes the provider; it is closed when it does not answer. */
  open: () => Provider;
}

/** The first of several ways that answers; they are tried anew when it no longer does. */
export class FirstOf implements Provider {
  #chosen: { way: Way; provider: Provider } | undefined;
  #closed = false;
  #initMs: number;

  constructor(
    private readonly ways: readonly Way[],
    /** Milliseconds that each way is given at first; twice as many the next time. */
    initMs: number,
    private readonly log: Logger,
  ) {
    this.#initMs = initMs;
  }

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

  async probe(signal: AbortSignal): Promise<void> {
    if (this.#chosen !== undefined) return this.#ask(this.#chosen.provider, signal);
    const reasons: string[] = [];
    for (const way of this.ways) {
      const provider = way.open();
      try {
        await provider.probe(AbortSignal.any([signal, AbortSignal.timeout(this.#initMs)]));
        if (this.#closed) throw new Error("closing");
        this.#chosen = { way, provider };
        this.log.info({ transport: way.name }, "the provider answers");
        return;
      } catch (error) {
        reasons.push(`${way.name}: ${messageOf(error)}`);
        await provider.close();
      }
    }
    this.#initMs = Math.min(LONGEST_INIT_MS, this.#initMs * 2);
    throw new Error(reasons.join("; ") || "the options describe no transport of MCP_TRANSPORT_ORDER");
  }

  async #ask(provider: Provider, signal: AbortSignal): Promise<void> {
    try {
      await provider.probe(AbortSignal.any([signal, AbortSignal.timeout(LONGEST_INIT_MS)]));
    } catch (error) {
      // What holds sessions is not given up for a bad answer: it may come back with them.
      if (provider.sessions === 0) {
        this.#chosen = undefined;
        await provider.close();
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#chosen?.provider.close();
  }

  #provider(): Provider {
    if (this.#chosen === undefined) throw new NfrxError("refused", "the provider does not answer yet");
    return this.#chosen.provider;
  }
}
