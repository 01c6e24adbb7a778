import { NfrxError } from "../../../lib/errors.ts";
import { Backoff, type Clock } from "../../../lib/time.ts";
import type { Channel, OpenChannel } from "./channel.ts";

/** Number of consecutive early exits of a server after which restarts are delayed more and more. */
const CRASHES_BEFORE_PAUSE = 3;
/**
 * Time in milliseconds after which a running server counts as working. A server that has answered and was stopped by
 * the relay counts too.
 */
const SETTLED_SERVER_MS = 10_000;

/** Starts servers, and less often when they keep ending by themselves. */
export class Spawner {
  #crashes = 0;
  #notBefore = 0;
  #reason = "";
  #backoff: Backoff;
  readonly #live = new Set<Channel>();
  #nextEnd = Promise.withResolvers<void>();

  constructor(
    private readonly openChannel: OpenChannel,
    private readonly clock: Clock,
    private readonly random: () => number = Math.random,
  ) {
    this.#backoff = new Backoff(random);
  }

  /** Servers that run, those that are being ended included. */
  get live(): number {
    return this.#live.size;
  }

  /** Resolves when one more has ended. */
  get nextEnd(): Promise<void> {
    return this.#nextEnd.promise;
  }

  /** The last servers all ended soon after their start. */
  get failing(): boolean {
    return this.#crashes >= CRASHES_BEFORE_PAUSE;
  }

  /** Why no server is started now; undefined when one would be. */
  get trouble(): NfrxError | undefined {
    const wait = this.#notBefore - this.clock.now();
    if (!this.failing || wait <= 0) return undefined;
    return new NfrxError("upstream_error", `the MCP server ended ${this.#crashes} times in a row: ${this.#reason}`, {
      retryAfterSeconds: Math.ceil(wait / 1000),
    });
  }

  /** Starts one more. Throws when that cannot be done, or not yet. */
  readonly open: OpenChannel = events => {
    if (this.trouble !== undefined) throw this.trouble;
    const since = this.clock.now();
    let wanted = true;
    let answered = false;
    let inner: Channel;
    try {
      inner = this.openChannel({
        ...events,
        message: message => {
          answered ||= message.kind === "response";
          events.message(message);
        },
        ended: reason => {
          this.#live.delete(channel);
          this.#nextEnd.resolve();
          this.#nextEnd = Promise.withResolvers();
          if (this.clock.now() - since >= SETTLED_SERVER_MS) this.#worked();
          else if (wanted) this.#crashed(reason);
          events.ended(reason);
        },
      });
    } catch (error) {
      this.#crashed(error instanceof Error ? error.message : String(error));
      throw error;
    }
    const channel: Channel = {
      send: line => inner.send(line),
      pause: () => inner.pause(),
      resume: () => inner.resume(),
      kill: () => inner.kill(),
      close: () => {
        if (wanted && answered) this.#worked();
        wanted = false;
        return inner.close();
      },
    };
    this.#live.add(channel);
    return channel;
  };

  #worked(): void {
    this.#crashes = 0;
    this.#backoff = new Backoff(this.random);
  }

  #crashed(reason: string): void {
    this.#crashes++;
    this.#reason = reason;
    if (this.failing) this.#notBefore = this.clock.now() + this.#backoff.next();
  }

  /** Ends all that run. */
  async close(): Promise<void> {
    await Promise.all([...this.#live].map(channel => channel.close()));
  }
}
