import { formatDuration } from "../../../config/duration.ts";
import { abortable } from "../../../lib/abortable.ts";
import { NfrxError, messageOf as reasonOf } from "../../../lib/errors.ts";
import type { Logger } from "../../../lib/log.ts";
import type { Clock } from "../../../lib/time.ts";
import type { OpenChannel } from "../channels/channel.ts";
import { CLIENT, discover, firstWord, statelessVersionsOf } from "../channels/discovery.ts";
import { hasResult } from "../channels/message.ts";
import type { Spawner } from "../channels/spawner.ts";
import { isStateless, SESSION_VERSIONS } from "../channels/versions.ts";
import { SharedServer } from "./shared-server.ts";

/** Time in milliseconds that a call waits for a starting server; then the client gets Retry-After. */
const START_WAIT_MS = 15_000;
/** Retry-After in seconds while a server is starting or in use. */
const RETRY_SECONDS = 5;

export interface SharedServersOptions {
  starts: Pick<Spawner, "failing" | "trouble">;
  open: OpenChannel;
  /** Time for a server to start and respond, in milliseconds. */
  initTimeoutMs: number;
  /** False while another server of the program must not be started for calls without a session. */
  mayStart(): boolean;
  sessionlessCompat: boolean;
  protocolVersion: string | undefined;
  clock: Clock;
  log: Logger;
}

type SharedKind = "stateless" | "sessionless";

/** Servers without a session, started on demand, with the results of their detection. */
export class SharedServers {
  readonly #servers = new Map<SharedKind, SharedServer>();
  readonly #starting = new Map<SharedKind, Promise<SharedServer>>();
  #versions: readonly string[] | undefined;
  #finding: Promise<readonly string[]> | undefined;
  /** A server has been seen at work. */
  #proven = false;
  readonly #stop = new AbortController();

  constructor(private readonly options: SharedServersOptions) {
    const { protocolVersion } = options;
    if (protocolVersion !== undefined) this.#versions = isStateless(protocolVersion) ? [protocolVersion] : [];
  }

  /** True once the server is known to speak the stateless era. */
  get stateless(): boolean {
    return this.#versions !== undefined && this.#versions.length > 0;
  }

  /** True while one of them runs. */
  get alive(): boolean {
    return [...this.#servers.values()].some(server => server.alive);
  }

  /** The versions of the stateless era that the server speaks; found out once. Rejects when the signal aborts first. */
  async statelessVersions(signal: AbortSignal): Promise<readonly string[]> {
    if (this.#versions !== undefined) return this.#versions;
    this.#finding ??= this.#discover().finally(() => {
      this.#finding = undefined;
    });
    return abortable(this.#finding, signal);
  }

  /** The same for a client, which is not kept waiting for long. */
  versionsForClient(signal: AbortSignal): Promise<readonly string[]> {
    return this.#soon(signal, until => this.statelessVersions(until));
  }

  /** The one server of the stateless era, for a client. */
  forStateless(signal: AbortSignal): Promise<SharedServer> {
    return this.#soon(signal, until => this.#stateless(until));
  }

  /** A server that we have shaken hands with, for clients that do not. */
  forSessionless(signal: AbortSignal): Promise<SharedServer> {
    if (!this.#has("sessionless") && !this.options.mayStart()) {
      const message =
        "a session is using the MCP server, and a second one is not started; set MCP_SHARED=true to serve both";
      return Promise.reject(new NfrxError("refused", message, { retryAfterSeconds: RETRY_SECONDS }));
    }
    return this.#soon(signal, until => this.#sessionless(until));
  }

  /** Checks that a server is available, using the current one. A start continues when the signal aborts. */
  async ensure(signal: AbortSignal): Promise<void> {
    if ((await this.statelessVersions(signal)).length > 0) {
      await this.#stateless(signal);
      return;
    }
    const { sessionlessCompat, starts } = this.options;
    if (!sessionlessCompat && this.#proven && !starts.failing) return;
    await this.#sessionless(signal);
    this.#proven = true;
    // Otherwise this was only an availability check.
    if (!sessionlessCompat) await this.retire();
  }

  /** Ends the server for calls without a session, unless it is at work. True when one was ended. */
  async retire(): Promise<boolean> {
    const server = this.#servers.get("sessionless");
    if (server === undefined || !server.alive || server.pending > 0) return false;
    this.#servers.delete("sessionless");
    await server.close();
    return true;
  }

  async close(): Promise<void> {
    this.#stop.abort(new NfrxError("draining", "the agent is stopping"));
    await Promise.allSettled([this.#finding, ...this.#starting.values()]);
    await Promise.all([...this.#servers.values()].map(server => server.close()));
  }

  #has(slot: SharedKind): boolean {
    return this.#servers.get(slot)?.alive === true || this.#starting.has(slot);
  }

  #stateless(signal: AbortSignal): Promise<SharedServer> {
    return this.#server("stateless", signal, async (server, timeout) => {
      await server.call("server/discover", discover(this.#versions?.[0]), timeout);
    });
  }

  async #sessionless(signal: AbortSignal): Promise<SharedServer> {
    // The server whose era is being detected may be the one.
    if (this.#finding !== undefined) await this.statelessVersions(signal);
    return this.#server("sessionless", signal, (server, timeout) => this.#handshake(server, timeout));
  }

  /** Sends a client's request; the client must retry if the start takes long. */
  async #soon<T>(signal: AbortSignal, ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeout = new AbortController();
    const timer = this.options.clock.after(START_WAIT_MS, () => timeout.abort(), true);
    try {
      return await ask(AbortSignal.any([signal, timeout.signal]));
    } catch (error) {
      if (!timeout.signal.aborted || signal.aborted) throw error;
      throw new NfrxError("refused", "the MCP server is still starting", { retryAfterSeconds: RETRY_SECONDS });
    } finally {
      timer.cancel();
    }
  }

  /**
   * Detects a server's era. One of the session era gets a handshake and is reused, because a start may take minutes.
   */
  async #discover(): Promise<readonly string[]> {
    const server = this.#open();
    const timeout = this.#timeout();
    try {
      const { answer, shaken } = await firstWord(this.options, timeout.signal, {
        discover: signal => server.call("server/discover", discover(), signal),
        handshake: signal => this.#handshake(server, signal),
      });
      const versions = answer === undefined ? [] : statelessVersionsOf(answer);
      // After a handshake a server of both eras may have settled for the other.
      if (versions.length > 0 && shaken === undefined) this.#servers.set("stateless", server);
      if (versions.length === 0 && (await this.#shakes(server, shaken, timeout.signal)))
        this.#servers.set("sessionless", server);
      this.#versions = versions;
    } catch (error) {
      if (timeout.signal.aborted) throw error;
      // A server with sessions may exit on an unknown method: its handshake decides.
      this.options.log.debug({ error: reasonOf(error) }, "the MCP server does not know server/discover");
    } finally {
      timeout.cancel();
      // A program that can run only once is not started again before it has ended.
      if (![...this.#servers.values()].includes(server)) await server.close();
    }
    return this.#versions ?? [];
  }

  /** True if a server accepts the handshake, which may already be running. */
  async #shakes(server: SharedServer, shaken: Promise<void> | undefined, signal: AbortSignal): Promise<boolean> {
    try {
      await (shaken ?? this.#handshake(server, signal));
      return true;
    } catch (error) {
      if (signal.aborted) throw error;
      return false;
    }
  }

  async #handshake(server: SharedServer, signal: AbortSignal): Promise<void> {
    const protocolVersion = this.options.protocolVersion ?? SESSION_VERSIONS[0];
    const params = { protocolVersion, capabilities: {}, clientInfo: CLIENT };
    const answer = await server.call("initialize", params, signal);
    if (!hasResult(answer))
      throw new NfrxError("upstream_error", `the MCP server rejected the handshake: ${answer.text}`);
    server.tell('{"jsonrpc":"2.0","method":"notifications/initialized"}');
  }

  #server(slot: SharedKind, signal: AbortSignal, greet: Greet): Promise<SharedServer> {
    const server = this.#servers.get(slot);
    if (server?.alive) return Promise.resolve(server);
    let starting = this.#starting.get(slot);
    if (starting === undefined) {
      starting = this.#start(slot, greet).finally(() => this.#starting.delete(slot));
      this.#starting.set(slot, starting);
    }
    return abortable(starting, signal);
  }

  async #start(slot: SharedKind, greet: Greet): Promise<SharedServer> {
    const server = this.#open();
    const timeout = this.#timeout();
    try {
      await greet(server, timeout.signal);
    } catch (error) {
      await server.close();
      throw this.options.starts.trouble ?? error;
    } finally {
      timeout.cancel();
    }
    this.#servers.set(slot, server);
    return server;
  }

  #open(): SharedServer {
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
    return new SharedServer(this.options.open, this.options.clock, this.options.log);
  }

  /** A signal that aborts when a start has been waited for long enough; `cancel` ends the waiting. */
  #timeout(): { signal: AbortSignal; cancel(): void } {
    const { initTimeoutMs, clock } = this.options;
    const timeout = new AbortController();
    const reason = `no response within ${formatDuration(initTimeoutMs)} (MCP_INIT_TIMEOUT)`;
    const timer = clock.after(initTimeoutMs, () => timeout.abort(new NfrxError("timeout", reason)), true);
    return { signal: AbortSignal.any([timeout.signal, this.#stop.signal]), cancel: () => timer.cancel() };
  }
}

type Greet = (server: SharedServer, timeout: AbortSignal) => Promise<void>;
