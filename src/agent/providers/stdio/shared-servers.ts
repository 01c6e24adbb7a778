import { NfrxError, messageOf as reasonOf } from "../../../lib/errors.ts";
import type { Logger } from "../../../lib/log.ts";
import type { Clock } from "../../../lib/time.ts";
import { VERSION } from "../../../lib/version.ts";
import { FIRST_STATELESS_VERSION, isStateless, SESSION_VERSIONS } from "./http-rules.ts";
import { at, hasResult, type Message, UNSUPPORTED_VERSION } from "./message.ts";
import { SharedServer } from "./shared-server.ts";
import type { Starts } from "./starts.ts";
import { CLIENT_CAPABILITIES, CLIENT_INFO, PROTOCOL_VERSION } from "./stateless-rules.ts";

/** Milliseconds that a server gets for its first answer at most. */
export const INIT_TIMEOUT_MAX_MS = 30_000;

const CLIENT = { name: "nfrx-mcp", version: VERSION };

export interface SharedServersOptions {
  starts: Starts;
  initTimeoutMs: number;
  sessionlessCompat: boolean;
  protocolVersion: string | undefined;
  clock: Clock;
  log: Logger;
}

type Slot = "stateless" | "sessionless";

/** The servers that belong to no session, started when they are needed, and what was found out about them. */
export class SharedServers {
  readonly #servers = new Map<Slot, SharedServer>();
  readonly #starting = new Map<Slot, Promise<SharedServer>>();
  #versions: readonly string[] | undefined;
  #finding: Promise<readonly string[]> | undefined;
  #failures = 0;
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

  /** The versions of the stateless era that the server speaks; found out once. Rejects when the signal aborts first. */
  async statelessVersions(signal: AbortSignal): Promise<readonly string[]> {
    if (this.#versions !== undefined) return this.#versions;
    this.#finding ??= this.#discover().finally(() => {
      this.#finding = undefined;
    });
    return abortable(this.#finding, signal);
  }

  /** The one server of the stateless era. */
  forStateless(signal: AbortSignal): Promise<SharedServer> {
    return this.#server("stateless", signal, async server => {
      await server.call("server/discover", discover(this.#versions?.[0]), this.#patience());
    });
  }

  /** A server that we have shaken hands with, for clients that do not. */
  forSessionless(signal: AbortSignal): Promise<SharedServer> {
    return this.#server("sessionless", signal, server => this.#handshake(server));
  }

  /** Makes sure that a server can be had, by way of the one that is kept. */
  async ensure(signal: AbortSignal): Promise<void> {
    if ((await this.#earlyVersions(signal)).length > 0) {
      await this.forStateless(signal);
      return;
    }
    const { sessionlessCompat, starts } = this.options;
    if (!sessionlessCompat && this.#proven && !starts.failing) return;
    const server = await this.forSessionless(signal);
    this.#proven = true;
    if (sessionlessCompat) return;
    // It was only asked whether it is there.
    this.#servers.delete("sessionless");
    void server.close();
  }

  /** As `statelessVersions`, but takes a server that is slow to say for one with sessions; what it says later counts too. */
  async #earlyVersions(signal: AbortSignal): Promise<readonly string[]> {
    const early = this.#patience(this.options.initTimeoutMs * 2 ** this.#failures);
    try {
      return await this.statelessVersions(AbortSignal.any([signal, early]));
    } catch (error) {
      if (early.aborted && !signal.aborted && !this.#stop.signal.aborted) return [];
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new NfrxError("draining", "the agent is stopping"));
    await Promise.allSettled([this.#finding, ...this.#starting.values()]);
    await Promise.all([...this.#servers.values()].map(server => server.close()));
  }

  async #discover(): Promise<readonly string[]> {
    const server = this.#open();
    try {
      const answer = await server.call("server/discover", discover(), this.#patience());
      this.#versions = statelessVersionsOf(answer);
      if (this.#versions.length > 0) this.#servers.set("stateless", server);
    } catch (error) {
      // A server with sessions may well end, or stay silent, on what it does not know: its handshake will tell.
      this.options.log.debug({ error: reasonOf(error) }, "the MCP server does not know server/discover");
    }
    // What it makes of a handshake after such a question is not to be relied on.
    if (this.#servers.get("stateless") !== server) void server.close();
    return this.#versions ?? [];
  }

  async #handshake(server: SharedServer): Promise<void> {
    const protocolVersion = this.options.protocolVersion ?? SESSION_VERSIONS[0];
    const params = { protocolVersion, capabilities: {}, clientInfo: CLIENT };
    const answer = await server.call("initialize", params, this.#patience());
    if (!hasResult(answer))
      throw new NfrxError("upstream_error", `the MCP server refused the handshake: ${answer.text}`);
    server.tell('{"jsonrpc":"2.0","method":"notifications/initialized"}');
  }

  #server(slot: Slot, signal: AbortSignal, greet: (server: SharedServer) => Promise<void>): Promise<SharedServer> {
    const server = this.#servers.get(slot);
    if (server?.alive) return Promise.resolve(server);
    let starting = this.#starting.get(slot);
    if (starting === undefined) {
      starting = this.#start(slot, greet).finally(() => this.#starting.delete(slot));
      this.#starting.set(slot, starting);
    }
    return abortable(starting, signal);
  }

  async #start(slot: Slot, greet: (server: SharedServer) => Promise<void>): Promise<SharedServer> {
    const server = this.#open();
    try {
      await greet(server);
    } catch (error) {
      this.#failures++;
      void server.close();
      throw this.options.starts.trouble ?? error;
    }
    this.#failures = 0;
    this.#servers.set(slot, server);
    return server;
  }

  #open(): SharedServer {
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
    return new SharedServer(this.options.starts.open, this.options.clock, this.options.log);
  }

  /** Aborts when a first answer has been waited for long enough. */
  #patience(ms = INIT_TIMEOUT_MAX_MS): AbortSignal {
    const bound = Math.min(ms, INIT_TIMEOUT_MAX_MS);
    const late = new AbortController();
    this.options.clock.after(bound, () => late.abort(new NfrxError("timeout", `no answer in ${bound} ms`)), true);
    return AbortSignal.any([late.signal, this.#stop.signal]);
  }
}

const discover = (version: string = FIRST_STATELESS_VERSION): object => ({
  _meta: { [PROTOCOL_VERSION]: version, [CLIENT_INFO]: CLIENT, [CLIENT_CAPABILITIES]: {} },
});

/** The versions of the stateless era in the answer to `server/discover`, or in the error that names what is spoken instead. */
function statelessVersionsOf(answer: Message): string[] {
  const unsupported = at(answer.value, "error", "code") === UNSUPPORTED_VERSION;
  const named = unsupported
    ? at(answer.value, "error", "data", "supported")
    : at(answer.value, "result", "supportedVersions");
  if (!Array.isArray(named)) return [];
  return named.filter((version): version is string => typeof version === "string" && isStateless(version));
}

/** Waits for what others may wait for too, and no longer than the signal allows. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new NfrxError("canceled", reasonOf(signal.reason), { cause: signal.reason }));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}
